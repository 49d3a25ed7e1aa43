/** The look at the first record: what it calls, and that a stranger cannot harm the server by it. */
import net from 'node:net'
import t from 'tap'
import { createConnection } from '../../../src/net.js'
import { firstRecord } from '../../../src/providers/tls/first-record.js'
import { closed, event, text } from '../../support/events.js'
import { clientIdentity, listening, trust } from '../../support/secured.js'

/** What is called for a client that does this. */
async function outcome(client: (socket: net.Socket) => void, patience = 5_000): Promise<string> {
  let settled!: (outcome: string) => void
  const result = new Promise<string>(resolve => {
    settled = resolve
  })
  const open = new Set<net.Socket>()
  const server = net.createServer(raw => {
    raw.on('error', () => {})
    open.add(raw)
    firstRecord(raw, patience, {
      tls: bytes => settled(`tls ${bytes.length} ${raw.readableLength}`),
      other: () => settled(`other ${raw.readableLength}`),
      silence: () => settled('silence'),
      stalled: () => settled('stalled'),
      error: error => settled(`error ${(error as { code?: string }).code}`),
    })
  })
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  const socket = net.connect({
    port: (server.address() as net.AddressInfo).port,
    host: '127.0.0.1',
  })
  socket.on('error', () => {})
  await event(socket, 'connect')
  client(socket)
  const what = await result
  socket.destroy()
  for (const raw of open) raw.destroy()
  await new Promise(resolve => server.close(resolve))
  return what
}

const record = Buffer.concat([Buffer.from('1603010004', 'hex'), Buffer.from('abcd')])

t.test('each of the five, and the bytes stay to be read', async t => {
  const pieces = (socket: net.Socket) => {
    socket.setNoDelay(true)
    socket.write(record.subarray(0, 3), () => setImmediate(() => socket.write(record.subarray(3))))
  }
  t.equal(await outcome(socket => socket.write(record)), 'tls 9 9')
  t.equal(await outcome(pieces), 'tls 9 9', 'in pieces')
  t.equal(await outcome(socket => socket.write('GET /')), 'other 5')
  t.equal(await outcome(() => {}, 30), 'silence')
  t.equal(await outcome(socket => socket.write(record.subarray(0, 8)), 30), 'stalled')
  t.equal(await outcome(socket => socket.end()), 'error ECONNRESET')
  t.equal(await outcome(socket => socket.end(record.subarray(0, 1))), 'error ECONNRESET')
  t.match(await outcome(socket => socket.resetAndDestroy()), /^error ECONNRESET/)
})

t.test('half a record and an end do not bring the server down', async t => {
  // Putting bytes back after the end threw, in an event of the connection: one byte and a FIN of any
  // stranger ended the process.
  const { ca } = await trust()
  const insecure = { allowInsecure: true, guaranteeEncryption: false }
  for (const security of [{ ca, requestCert: true }, insecure]) {
    const { port, server, refused } = await listening(t, { security }, socket => {
      socket.on('error', () => {})
      socket.end('still here')
    })
    for (const bytes of ['16', '160301', '16030100ff', '16030100ff00']) {
      const refusal = event(server, 'tlsClientError')
      const raw = net.connect(port, '127.0.0.1')
      const end = closed(raw.resume())
      raw.end(Buffer.from(bytes, 'hex'))
      await refusal
      await end
    }
    t.equal(refused.length, 4)
    t.match(refused, [{ code: 'ECONNRESET' }])
    const socket = createConnection({ port, host: '127.0.0.1', security: await clientIdentity() })
    t.equal(await text(socket), 'still here')
  }
})
