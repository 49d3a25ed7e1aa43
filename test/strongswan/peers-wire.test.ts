/** One socket, several peers: each has its own affair with it. */
import { once } from 'node:events'
import t from 'tap'
import { createSocket } from '../../src/dgram.js'
import { until } from '../support/until.js'
import { addressOf, nameOf, needsGuest, securityOf } from './support/hosts.js'
import { startPeer } from './support/peer.js'
import { inClear, inWords, secured, shows, watchWire } from './support/wire.js'

const port = 5000
const [a, b, c] = [addressOf('a', 4), addressOf('b', 4), addressOf('c', 4)]

t.test('three peers, one with another name than it should have', async t => {
  if (!needsGuest(t)) return
  const wire = await watchWire(t)
  const [right, other] = [startPeer(t, 'b'), startPeer(t, 'c')]
  const proof = 'certificate'
  await right.datagrams({ proof, address: b, port })
  await other.datagrams({ proof, address: c, port })
  await other.datagrams({ proof, address: c, port: 5001 })

  const socket = createSocket({ type: 'udp4', security: securityOf('a', proof) })
  t.teardown(() => new Promise<void>(resolve => socket.close(resolve)))
  socket.on('error', error => t.comment(error.message))
  const texts: string[] = []
  socket.on('message', (message, { address, port }) => texts.push(`${message} ${address}:${port}`))
  socket.bind(port, a)
  await once(socket, 'listening')
  const peers = [
    { address: b, port, targetName: nameOf('b') },
    { address: c, port, targetName: nameOf('c') },
    { address: c, port: 5001, targetName: nameOf('b') },
  ]
  for (const peer of peers) socket.setPeerTargetName(peer)
  const send = (text: string, { address, port }: { address: string; port: number }) =>
    new Promise<string | null>(resolve =>
      socket.send(text, port, address, error =>
        resolve(error && ((error as NodeJS.ErrnoException).code ?? error.message)),
      ),
    )

  wire.forget()
  const codes = await Promise.all(peers.map(peer => send('for one of three', peer)))
  t.same(codes, [null, null, 'ERR_PEER_NOT_AUTHENTICATED'])
  await until('two answers', () => texts.length === 2)
  t.same(texts.toSorted(), [`for one of three ${b}:${port}`, `for one of three ${c}:${port}`])
  t.same(await other.received(5001), [])

  await t.test('the wrong one disturbs nobody, however often it is tried', async t => {
    const [toWrong, toRight] = [peers[2], peers[0]] as const
    if (!toWrong || !toRight) throw new Error('there are three')
    const codes = []
    for (let round = 0; round < 3; round++) {
      codes.push(await send(`wrong ${round}`, toWrong), await send(`right ${round}`, toRight))
      await until('the answer', () => texts.includes(`right ${round} ${b}:${port}`))
    }
    const wrong = 'ERR_PEER_NOT_AUTHENTICATED'
    t.same(codes, [wrong, null, wrong, null, wrong, null])
  })

  await t.test('who has no name at all gets nothing', async t => {
    const code = await send('for nobody', { address: c, port: 5002 })
    t.type(code, 'string')
    t.comment(code)
  })

  const packets = await wire.packets()
  t.same(inWords(inClear(packets, port)), [], 'nothing of the socket was ever in clear')
  for (const text of ['for one', 'wrong', 'right', 'nobody']) t.notOk(shows(packets, text), text)
  t.equal(secured(packets, a, b).length, 4, 'ESP for the one')
  t.equal(secured(packets, a, c).length, 1, 'and the other, and none for whom it was not')
})
