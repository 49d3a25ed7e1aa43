/** `secure-socket/net` is shaped like node:net, and its functions can be called as those can. */
import nodeNet from 'node:net'
import t from 'tap'
import face, * as net from '../src/net.js'
import { event, text } from './support/events.js'
import { listening, serverIdentity, trust } from './support/secured.js'

t.test('every name of node:net is there, and what makes sockets makes secured ones', async t => {
  for (const key of Object.keys(nodeNet)) {
    if (key.startsWith('_')) continue
    t.ok(key in net, key)
    t.ok(key in face, `default export: ${key}`)
  }
  t.equal(net.Socket, net.SecureSocket)
  t.equal(net.Stream, net.SecureSocket)
  t.equal(net.Server, net.SecureServer)
  t.equal(net.connect, net.createConnection)
  t.equal(face.connect, net.connect)
  t.equal(net.isIP('::1'), 6)
  t.ok(new net.Socket() instanceof nodeNet.Socket)
  t.ok(new net.Server() instanceof nodeNet.Server)
  t.equal(net.Socket.name, 'SecureSocket')
})

t.test('old code calls the functions with new', async t => {
  const { port } = await listening(t, {}, socket => socket.end('new'))
  const Connection = net.createConnection as unknown as new (options: object) => net.SecureSocket
  const socket = new Connection({ port, host: '127.0.0.1', security: await trust() })
  t.equal(await text(socket), 'new')
  const Server = net.createServer as unknown as new (options: object) => net.SecureServer
  const server = new Server({ security: await serverIdentity() })
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  await new Promise(resolve => server.close(resolve))
})

t.test('a socket that exists already cannot be secured', async t => {
  t.throws(() => new net.Socket({ fd: 0 }), { code: 'EISCONN', message: /fd/ })
  t.throws(() => new net.Socket({ handle: {} } as never), { code: 'EISCONN' })
  t.throws(() => new net.Socket(0 as never), { code: 'EISCONN' })
})
