/**
 * Somebody on the wire who changes, repeats, drops, swaps or adds records, between us and node:tls:
 * what they touch is never delivered, and ends the connection with an error.
 */
import net, { type AddressInfo, type Socket } from 'node:net'
import tls, { type ConnectionOptions } from 'node:tls'
import t, { type Test } from 'tap'
import { createConnection } from '../../src/net.js'
import type { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { clientIdentity, listening, trust } from '../support/secured.js'

/** Gives what is passed on instead of a record; they are counted from 0. */
type Meddle = (record: Buffer, index: number) => Buffer[]

let held: Buffer | null = null
const attacks: Record<string, Meddle> = {
  'a changed bit': record => {
    const changed = Buffer.from(record)
    changed[20] = (changed[20] as number) ^ 1
    return [changed]
  },
  'a record twice': record => [record, record],
  'a record lost': (record, index) => (index === 0 ? [] : [record]),
  'two records in the other order': (record, index) => {
    if (index > 0) return held ? [record, held] : [record]
    held = record
    return []
  },
  'a line of plaintext': record => [Buffer.from('220 ready\r\n'), record],
  'an alert in clear that says goodbye': record => [Buffer.from([21, 3, 3, 0, 2, 1, 0]), record],
  'application data in clear': record => [
    Buffer.from([23, 3, 3, 0, 4, 0x65, 0x76, 0x69, 0x6c]),
    record,
  ],
}

for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
  for (const [what, meddle] of Object.entries(attacks)) {
    t.test(`${what}, towards our client, ${maxVersion}`, async t => {
      const { cert, key } = await testIdentity()
      const foreign = tls.createServer({ cert, key, maxVersion }, socket => {
        socket.on('error', () => {})
        t.teardown(() => socket.destroy())
        socket.once('data', () => sayThrice(socket))
        socket.write('first')
      })
      foreign.listen(0, '127.0.0.1')
      t.teardown(() => foreign.close())
      await event(foreign, 'listening')
      const middle = await between(t, (foreign.address() as AddressInfo).port)
      const security = await trust()
      const socket = createConnection({ port: middle.port, host: '127.0.0.1', security })
      t.teardown(() => socket.destroy())
      await event(socket, 'data')
      await suffers(t, socket, () => {
        middle.towards('client', meddle)
        socket.write('go on')
      })
    })

    t.test(`${what}, towards our server, ${maxVersion}`, async t => {
      const { ca, ...identity } = await clientIdentity()
      const security = { ca: ca as string, requestCert: true }
      const { port, server } = await listening(t, { security }, () => {})
      const middle = await between(t, port)
      const options = { ...identity, ca, maxVersion, port: middle.port, host: '127.0.0.1' }
      const foreign = tls.connect(options as ConnectionOptions)
      t.teardown(() => foreign.destroy())
      foreign.on('error', () => {})
      foreign.write('first')
      const [socket] = (await event(server, 'connection')) as [SecureSocket]
      await event(socket, 'data')
      await suffers(t, socket, () => {
        middle.towards('server', meddle)
        sayThrice(foreign)
      })
    })
  }
}

/** Three records, one after the other. */
function sayThrice(socket: Socket): void {
  for (const text of ['one ', 'two ', 'three ']) socket.write(text)
}

/** The connection must end with the error, after no more than what came unharmed before. */
async function suffers(t: Test, socket: SecureSocket, attack: () => void) {
  let heard = ''
  socket.on('data', data => {
    heard += data
  })
  socket.on('end', () => t.fail('it ended as if all were well'))
  const over = event(socket, 'error')
  attack()
  const [error] = await over
  // The very code depends on the version and on OpenSSL.
  t.match(error, { code: /^ERR_SSL_/ })
  t.equal(socket.destroyed, true)
  t.ok('one two three '.startsWith(heard), `nothing but the truth: ${JSON.stringify(heard)}`)
  t.not(heard, 'one two three ', 'and not all of it')
}

/** A proxy that passes whole records on, and lets `meddle` change them once it is told. */
async function between(t: Test, serverPort: number) {
  held = null
  const meddles = new Map<'client' | 'server', Meddle>()
  const proxy = net.createServer(client => {
    const server = net.connect(serverPort, '127.0.0.1')
    t.teardown(() => {
      client.destroy()
      server.destroy()
    })
    relay(client, server, () => meddles.get('server'))
    relay(server, client, () => meddles.get('client'))
  })
  proxy.listen(0, '127.0.0.1')
  t.teardown(() => proxy.close())
  await event(proxy, 'listening')
  return {
    port: (proxy.address() as AddressInfo).port,
    towards: (end: 'client' | 'server', meddle: Meddle) => meddles.set(end, meddle),
  }
}

/** Cuts a stream into TLS records: type, version, two bytes of length, content. */
function relay(from: Socket, to: Socket, meddle: () => Meddle | undefined): void {
  let bytes = Buffer.alloc(0)
  let meddled = 0
  from.on('error', () => to.destroy())
  from.on('close', () => to.destroy())
  from.on('data', chunk => {
    bytes = Buffer.concat([bytes, chunk])
    while (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt16BE(3)) {
      const length = 5 + bytes.readUInt16BE(3)
      const record = bytes.subarray(0, length)
      for (const each of meddle()?.(record, meddled++) ?? [record]) to.write(each)
      bytes = bytes.subarray(length)
    }
  })
}
