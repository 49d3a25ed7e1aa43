/**
 * The wrong peer has a session, or it is the right one under a name that was changed since: a session
 * proves no name but the one that was proved when it was made, and is asked again for the one that is
 * wanted now. Nothing is said before that, and whoever reads along sees nothing.
 */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createSocket } from '../../../src/dgram.js'
import { createConnection, createServer, type Server } from '../../../src/net.js'
import { closed as closedDatagrams } from '../../interop/dtls-sockets.js'
import { ownDirectory } from '../../interop/files.js'
import { sClient, sServer } from '../../interop/openssl.js'
import { event, failure } from '../../support/events.js'
import { requireProgram } from '../../support/foreign-program.js'
import { testIdentity } from '../../support/identities.js'
import { offersSession } from './client-hello.js'
import { protocols, shower } from './foreign-ends.js'
import { guarded, refusedAsServer } from './our-ends.js'
import { isWithoutData, OUR_SECRET, reader, readsNothing, THEIR_SECRET } from './reader.js'
import { PEER_NAME } from './wrong-peers.js'

const skip = !requireProgram(t, 'openssl')
const shows = shower(t)
const HOST = '127.0.0.1'
const right = shows(await testIdentity([PEER_NAME]))
const other = shows(await testIdentity(['other.example']))
const { cert, key, ca } = await testIdentity()
const security = { cert, key, ca }
const mismatch = 'ERR_PEER_TARGET_NAME_MISMATCH'
const streams = protocols.filter(({ transport }) => transport === 'tcp')

for (const { name, flag, showsTypes } of streams)
  t.test(`a server from which another name is wanted the next time: ${name}`, { skip }, async t => {
    const { port, program } = await sServer(t, flag, ...right)
    const between = await reader(t, 'tcp', port)
    const options = { port: between.port, host: HOST, peerTargetName: PEER_NAME, security }
    for (const known of [false, true]) {
      const before = between.toServer().length
      const socket = createConnection(options)
      await socket.secured
      t.equal(offersSession(between.toServer().subarray(before)), known)
      // Its session is here with what it says.
      program.type('good day\n')
      await event(socket, 'data')
      socket.end()
      await event(socket.resume(), 'close')
    }
    const before = between.toServer().length

    program.type(`${THEIR_SECRET}\n`)
    const error = await refusedAsServer(t, 'tcp', between.port, 'another.example', security)
    t.match(error, { code: mismatch, message: /another\.example.*peer\.example/ })
    t.notOk(offersSession(between.toServer().subarray(before)), 'the session was not even offered')
    t.notMatch(program.output, OUR_SECRET)
    readsNothing(t, between)
    if (showsTypes) isWithoutData(t, between.toServer().subarray(before), 'tcp')
  })

t.test('a server from which another name is wanted the next time: datagrams', { skip }, async t => {
  const { port, program } = await sServer(t, '-dtls1_2', ...right)
  const between = await reader(t, 'udp', port)
  const peer = { address: HOST, port: between.port }
  const socket = createSocket({ type: 'udp4', security })
  t.teardown(() => closedDatagrams(socket))
  await socket.setPeerTargetName({ ...peer, targetName: PEER_NAME })
  await socket.secure(peer)
  socket.closePeer(peer)
  await program.said(/^DONE$/m)

  await socket.setPeerTargetName({ ...peer, targetName: 'another.example' })
  const before = between.toServer().length
  const error = await failure(
    new Promise<void>((resolve, reject) => {
      socket.send(OUR_SECRET, peer.port, HOST, error => (error ? reject(error) : resolve()))
    }),
  )
  t.match(error, { code: mismatch, message: /another\.example.*peer\.example/ })
  await program.said(/^ERROR|DONE[\s\S]*DONE/m)
  t.notMatch(program.output, OUR_SECRET)
  readsNothing(t, between)
  isWithoutData(t, between.toServer().subarray(before), 'udp')
})

for (const { name, flag, showsTypes } of streams)
  t.test(
    `a client with a session of a server that asked for no name: ${name}`,
    { skip },
    async t => {
      const ticketKeys = Buffer.alloc(48, 5)
      const server = createServer({ security: { cert, key, ticketKeys } }, socket =>
        socket.end('in\n'),
      )
      const port = await listening(t, server)
      const session = join(ownDirectory(t), 'session')
      await sClient(t, port, flag, '-sess_out', session).said(/in\n/)

      const us = await guarded(t, 'tcp', undefined, { ...security, ticketKeys })
      const between = await reader(t, 'tcp', us.port)
      const client = sClient(t, between.port, flag, '-sess_in', session)
      client.type(`${THEIR_SECRET}\n`)
      t.match(await us.refusal(), { code: 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE' })
      await client.ended()
      t.notMatch(client.output, OUR_SECRET)
      readsNothing(t, between)
      if (showsTypes) isWithoutData(t, between.toClient(), 'tcp')
    },
  )

t.test('a client with a session of another name: datagrams', { skip }, async t => {
  const ticketKeys = Buffer.alloc(48, 5)
  const session = await sessionOf(t, other, ticketKeys)
  const us = await guarded(t, 'udp', PEER_NAME, { ...security, ticketKeys })
  const between = await reader(t, 'udp', us.port)
  const client = sClient(t, between.port, '-dtls1_2', ...other, '-sess_in', session)
  client.type(`${THEIR_SECRET}\n`)
  t.match(await us.refusal(), { code: mismatch, message: /peer\.example.*other\.example/ })
  await client.ended()
  t.notMatch(client.output, OUR_SECRET)
  readsNothing(t, between)
  isWithoutData(t, between.toClient(), 'udp')
})

/** A file with the session of a client, from a socket of these ticket keys that wanted no name from it. */
async function sessionOf(t: Test, shown: string[], ticketKeys: Buffer): Promise<string> {
  const socket = createSocket({ type: 'udp4', security: { ...security, ticketKeys } })
  t.teardown(() => closedDatagrams(socket))
  socket.bind(0, HOST)
  await event(socket, 'listening')
  socket.on('message', (message, from) => socket.send(message, from.port, from.address))
  const session = join(ownDirectory(t), 'session')
  const client = sClient(t, socket.address().port, '-dtls1_2', ...shown, '-sess_out', session)
  client.type('is anybody there?\n')
  await client.said(/is anybody there\?\n/)
  await client.finish()
  return session
}

async function listening(t: Test, server: Server): Promise<number> {
  server.listen(0, HOST)
  await event(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as { port: number }).port
}
