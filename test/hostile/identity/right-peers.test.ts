/**
 * What makes the table of wrong peers worth something: with the same ends and the same reader the right
 * peer is let in and hears the secret, still nobody reads it; and where there is no security he does.
 */
import net from 'node:net'
import t from 'tap'
import { createSocket } from '../../../src/dgram.js'
import { createConnection, createServer } from '../../../src/net.js'
import { closed } from '../../interop/dtls-sockets.js'
import { sClient, sServer } from '../../interop/openssl.js'
import { event } from '../../support/events.js'
import { requireProgram } from '../../support/foreign-program.js'
import { testIdentity } from '../../support/identities.js'
import { until } from '../../support/until.js'
import { protocols, shower } from './foreign-ends.js'
import { OUR_SECRET, reader, readsNothing, recordTypes, THEIR_SECRET } from './reader.js'
import { PEER_NAME } from './wrong-peers.js'

const skip = !requireProgram(t, 'openssl')
const shows = shower(t)
const HOST = '127.0.0.1'
const right = await testIdentity([PEER_NAME])
const { cert, key, ca } = await testIdentity()
const security = { cert, key, ca }

for (const { name, transport, flag } of protocols) {
  t.test(`the right server, ${name}`, { skip }, async t => {
    const { port, program } = await sServer(t, flag, ...shows(right))
    const between = await reader(t, transport, port)
    let heard = ''
    const hear = (data: Buffer) => {
      heard += data
    }
    if (transport === 'tcp') {
      const options = { port: between.port, host: HOST, peerTargetName: PEER_NAME, security }
      const socket = createConnection(options)
      t.teardown(() => socket.destroy())
      socket.on('data', hear)
      socket.write(`${OUR_SECRET}\n`)
    } else {
      const socket = createSocket({ type: 'udp4', security })
      t.teardown(() => closed(socket))
      await socket.setPeerTargetName({ address: HOST, port: between.port, targetName: PEER_NAME })
      socket.on('message', hear)
      socket.send(`${OUR_SECRET}\n`, between.port, HOST)
    }
    await program.said(new RegExp(OUR_SECRET))
    program.type(`${THEIR_SECRET}\n`)
    await until('it was heard', () => heard === `${THEIR_SECRET}\n`)
    readsNothing(t, between)
    t.ok(recordTypes(between.toServer(), transport).includes(23), 'as data')
  })

  t.test(`the right client, ${name}`, { skip }, async t => {
    let heard = ''
    const hear = (data: Buffer) => {
      heard += data
    }
    let port = 0
    if (transport === 'tcp') {
      const server = createServer({ security: { ...security, requestCert: true } }, socket => {
        t.teardown(() => socket.destroy())
        socket.on('data', hear)
        socket.write(`${OUR_SECRET}\n`)
      })
      t.teardown(() => server.close())
      server.listen(0, HOST)
      await event(server, 'listening')
      port = (server.address() as net.AddressInfo).port
    } else {
      const socket = createSocket({ type: 'udp4', security })
      t.teardown(() => closed(socket))
      socket.bind(0, HOST)
      await event(socket, 'listening')
      port = socket.address().port
      await socket.setPeerTargetName({ address: HOST, targetName: PEER_NAME })
      socket.on('message', hear)
      socket.on('secure', peer => socket.send(`${OUR_SECRET}\n`, peer.port, peer.address))
    }
    const between = await reader(t, transport, port)
    const client = sClient(t, between.port, flag, ...shows(right))
    client.type(`${THEIR_SECRET}\n`)
    await client.said(new RegExp(OUR_SECRET))
    await until('it was heard', () => heard === `${THEIR_SECRET}\n`)
    readsNothing(t, between)
    t.ok(recordTypes(between.toClient(), transport).includes(23), 'as data')
  })
}

t.test('the reader sees what is in clear', async t => {
  const server = net.createServer(socket => socket.pipe(socket))
  t.teardown(() => server.close())
  server.listen(0, HOST)
  await event(server, 'listening')
  const between = await reader(t, 'tcp', (server.address() as net.AddressInfo).port)
  const socket = net.connect(between.port, HOST)
  t.teardown(() => socket.destroy())
  socket.write(OUR_SECRET)
  await event(socket, 'data')
  t.ok(between.toServer().includes(OUR_SECRET))
  t.ok(between.toClient().includes(OUR_SECRET))
  t.throws(() => recordTypes(between.toServer(), 'tcp'), /no record/)
})
