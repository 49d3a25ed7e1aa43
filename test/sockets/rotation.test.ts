// Certificates are replaced under running servers. Nobody who is connected may notice, nobody who
// connects may be turned away, and whoever connects afterwards must see the new certificate.
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { createConnection, createServer, type Socket } from '../../src/net.js'
import { Folder, newIdentity } from '../policy/rotation.js'
import { event } from '../support/events.js'
import { strangerAuthority, testIdentity } from '../support/identities.js'
import { trust } from '../support/secured.js'
import { boundSocket, datagramSocket, LOOPBACK } from '../support/secured-datagrams.js'
import { until } from '../support/until.js'

const serialOf = ({ cert }: { cert: string }) => new X509Certificate(cert).serialNumber
const { ca } = await trust()

async function connected(port: number, security: object = { ca }): Promise<Socket> {
  const socket = createConnection({ host: LOOPBACK, port, security })
  await event(socket, 'connect')
  return socket
}

async function serialSeen(socket: Socket): Promise<string | undefined> {
  return (await socket.querySecurity()).peer?.certificate?.serialNumber
}

t.test('a server of streams, and its clients', async t => {
  const folder = new Folder(t)
  const identities = [await newIdentity(), await newIdentity(), await newIdentity()] as const
  folder.writePair(identities[0])
  const server = createServer({ security: { cert: folder.cert, key: folder.key } }, socket =>
    socket.on('error', () => {}).pipe(socket),
  )
  t.teardown(() => server.close())
  server.listen(0, LOOPBACK)
  await event(server, 'listening')
  const { port } = server.address() as AddressInfo
  const early = await connected(port)
  t.teardown(() => early.destroy())
  t.equal(await serialSeen(early), serialOf(identities[0]))

  for (const identity of identities.slice(1)) {
    folder.writePair(identity)
    let seen: string | undefined
    const deadline = Date.now() + 20_000
    while (seen !== serialOf(identity) && Date.now() < deadline) {
      const late = await connected(port)
      seen = await serialSeen(late)
      late.destroy()
      await setTimeout(50)
    }
    t.equal(seen, serialOf(identity))
    early.write('still here')
    const [data] = await event(early, 'data')
    t.equal(String(data), 'still here')
    t.equal(await serialSeen(early), serialOf(identities[0]))
  }
})

t.test('nobody is turned away while certificates change all the time', async t => {
  const folder = new Folder(t)
  folder.writePair(await newIdentity())
  const refused: Error[] = []
  const server = createServer({ security: { cert: folder.cert, key: folder.key } }, socket =>
    socket.on('error', () => {}).pipe(socket),
  )
  server.on('tlsClientError', error => refused.push(error))
  t.teardown(() => server.close())
  server.listen(0, LOOPBACK)
  await event(server, 'listening')
  const { port } = server.address() as AddressInfo

  const seen = new Set<string | undefined>()
  const failures: unknown[] = []
  let connections = 0
  let running = true
  const client = async () => {
    while (running) {
      try {
        const socket = await connected(port)
        seen.add(await serialSeen(socket))
        socket.write('x'.repeat(1000))
        await event(socket, 'data')
        socket.destroy()
        connections += 1
      } catch (error) {
        failures.push(error)
      }
    }
  }
  const clients = [client(), client(), client(), client()]
  const written = new Set<string>()
  const rotating = (async () => {
    // In each of the ways in which a pair can be written, with a pause between its two files.
    for (const way of ['in place', 'renamed', 'in halves']) {
      const identity = await newIdentity()
      written.add(serialOf(identity))
      const { cert, key } = identity
      if (way === 'renamed') folder.rename('tls.crt', cert)
      else folder.write('tls.crt', way === 'in halves' ? cert.slice(0, cert.length / 2) : cert)
      await setTimeout(300)
      if (way === 'in halves') folder.write('tls.crt', cert)
      if (way === 'renamed') folder.rename('tls.key', key)
      else folder.write('tls.key', key)
      await until('it is seen', () => seen.has(serialOf(identity)), 30_000)
    }
  })()
  await rotating
  running = false
  await Promise.all(clients)
  t.same(failures, [])
  t.same(refused, [])
  t.ok(connections > 20, `${connections} connections`)
  t.ok([...written].every(serial => seen.has(serial)))
})

t.test('a client shows its new certificate, and trusts by its new authorities', async t => {
  const folder = new Folder(t)
  const [first, second] = [await newIdentity(['one.example']), await newIdentity(['two.example'])]
  folder.writePair(first)
  folder.write('ca.crt', ca)
  const { cert, key } = await testIdentity()
  const names: string[] = []
  const server = createServer({ security: { cert, key, ca, requestCert: true } }, async socket => {
    socket.on('error', () => {})
    const { peer } = await socket.querySecurity()
    names.push(...(peer?.names ?? []))
    socket.end('hello')
  })
  t.teardown(() => server.close())
  server.listen(0, LOOPBACK)
  await event(server, 'listening')
  const { port } = server.address() as AddressInfo
  const security = { cert: folder.cert, key: folder.key, ca: folder.url('ca.crt') }
  const call = async () => {
    const socket = await connected(port, security)
    socket.resume()
    await once(socket, 'close')
    await setTimeout(50)
  }
  await call()
  t.same(names, ['one.example'])
  folder.writePair(second)
  const deadline = Date.now() + 20_000
  while (!names.includes('two.example') && Date.now() < deadline) await call()
  t.equal(names.at(-1), 'two.example')

  folder.write('ca.crt', (await strangerAuthority()).cert)
  let failed: { code?: string } | undefined
  while (failed === undefined && Date.now() < deadline + 20_000) {
    await call().catch(error => {
      failed = error
    })
  }
  t.match(failed, { message: /authority is not trusted/ })
})

t.test('a datagram socket and its peers', async t => {
  const folder = new Folder(t)
  const [first, second] = [await newIdentity(), await newIdentity()]
  folder.writePair(first)
  const { port, heard, socket } = await boundSocket(t, {
    cert: folder.cert,
    key: folder.key,
    ca,
  })
  const { cert, key } = await testIdentity(['client.example'])
  const client = () => datagramSocket(t, { security: { cert, key, ca } })
  const peer = { address: LOOPBACK, port }
  const early = client()
  early.send('one', port, LOOPBACK)
  await heard.next()
  t.equal((await early.querySecurity(peer)).peer?.certificate?.serialNumber, serialOf(first))

  folder.writePair(second)
  let seen: string | undefined
  const deadline = Date.now() + 20_000
  while (seen !== serialOf(second) && Date.now() < deadline) {
    const late = client()
    late.send('late', port, LOOPBACK)
    await heard.next()
    seen = (await late.querySecurity(peer)).peer?.certificate?.serialNumber
    late.close()
    await setTimeout(50)
  }
  t.equal(seen, serialOf(second))
  early.send('two', port, LOOPBACK)
  const { text, rinfo } = await heard.next()
  t.equal(text, 'two')
  t.equal((await early.querySecurity(peer)).peer?.certificate?.serialNumber, serialOf(first))
  t.ok(
    socket.peers().some(each => each.port === rinfo.port),
    'secured as before',
  )
})

t.test('files that cannot be used fail what is made of them at once', async t => {
  const folder = new Folder(t)
  const security = { cert: folder.cert, key: folder.key }
  t.throws(() => createServer({ security }), { code: 'EINVAL', message: /tls\.crt.*ENOENT/ })
  t.throws(() => createConnection({ port: 1, security }), { code: 'EINVAL' })
  t.throws(() => datagramSocket(t, { security }), { code: 'EINVAL' })
})
