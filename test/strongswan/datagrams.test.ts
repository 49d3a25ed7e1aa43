/**
 * Datagrams over the strongSwan provider, with real packets between two hosts: nothing of them is
 * ever in clear on the wire, the first message is not lost, and one socket keeps its peers apart.
 */
import t from 'tap'
import type { PeerAddress } from '../../src/providers/datagram-provider.js'
import { failure } from '../support/events.js'
import { inbox, sent } from '../support/secured-datagrams.js'
import { until } from '../support/until.js'
import { nothingInClear, socketOf } from './datagrams-support.js'
import { addressOf, nameOf, needsGuest } from './support/hosts.js'
import { type Peer, startPeer } from './support/peer.js'
import { secured, type Wire, watchWire } from './support/wire.js'

let b: Peer
let c: Peer
let wire: Wire

if (needsGuest(t)) {
  t.before(async () => {
    b = startPeer(t, 'b')
    c = startPeer(t, 'c')
    wire = await watchWire(t)
  })

  for (const family of [4, 6] as const) {
    t.test(`IPv${family}: the first message arrives, and all is ESP`, async t => {
      const [address, port] = [addressOf('b', family), 5000 + family]
      await b.datagrams({ proof: 'certificate', address, port })
      const socket = await socketOf(t, family)
      const answers = inbox(socket)
      await socket.setPeerTargetName({ address, port, targetName: nameOf('b') })
      const begun = performance.now()
      t.equal(await sent(socket, 'first', port, address), 5)
      t.comment(`sent after ${Math.round(performance.now() - begun)} ms`)
      const { text, rinfo } = await answers.next()
      t.comment(`answered after ${Math.round(performance.now() - begun)} ms`)
      t.equal(text, 'first')
      t.match(rinfo, { address, port, targetName: nameOf('b') })
      const info = await socket.querySecurity({ address, port })
      t.match(info, { secured: true, encrypted: true, protocol: 'ipsec', version: 'IKEv2' })
      t.same(info.peer?.names, ['b.example'])
      await nothingInClear(t, wire, port, socket.address().port)
      t.ok(secured(await wire.packets(), addressOf('a', family), address).length > 0)
    })
  }

  t.test(
    'three peers on one socket, one of them somebody else: only that one is refused',
    async t => {
      await b.datagrams({ proof: 'certificate', address: addressOf('b', 4), port: 5011 })
      await b.datagrams({ proof: 'certificate', address: addressOf('b', 4), port: 5012 })
      await c.datagrams({ proof: 'certificate', address: addressOf('c', 4), port: 5013 })
      const socket = await socketOf(t)
      const errors: [Error, PeerAddress][] = []
      socket.on('peerError', (error, peer) => errors.push([error, peer]))
      const answers = inbox(socket)
      const peers = [
        { address: addressOf('b', 4), port: 5011, targetName: nameOf('b') },
        { address: addressOf('b', 4), port: 5012, targetName: nameOf('c') },
        { address: addressOf('c', 4), port: 5013, targetName: nameOf('c') },
      ]
      for (const peer of peers) await socket.setPeerTargetName(peer)
      const outcomes = await Promise.allSettled(
        peers.map(({ address, port }) => sent(socket, `to ${port}`, port, address)),
      )
      t.same(
        outcomes.map(({ status }) => status),
        ['fulfilled', 'rejected', 'fulfilled'],
      )
      const { reason } = outcomes[1] as PromiseRejectedResult
      t.comment(reason)
      // Nobody of that name answers there, and the peer does not say who it is.
      t.match(reason.code, /ERR_PEER_TARGET_NAME_MISMATCH|ERR_PEER_NOT_AUTHENTICATED/)
      t.match(errors, [[{ code: reason.code }, { port: 5012 }]])
      const texts = (await answers.have(2)).map(({ text }) => text)
      t.same(texts.sort(), ['to 5011', 'to 5013'])
      t.same(await b.received(5012), [])
      t.same(
        socket
          .peers()
          .map(({ port }) => port)
          .sort(),
        [5011, 5013],
      )
      await nothingInClear(t, wire, 5011, 5012, 5013, socket.address().port)
    },
  )

  t.test('a stranger that is trusted speaks first, where the socket was bound for it', async t => {
    const socket = await socketOf(t, 4, 'certificate', 6020)
    const heard = inbox(socket)
    const to = { address: addressOf('a', 4), port: 6020 }
    const names = [{ ...to, targetName: nameOf('a') }]
    await b.datagrams({ proof: 'certificate', address: addressOf('b', 4), port: 5020, names })
    await b.send({ fromPort: 5020, text: 'I am b', ...to })
    const { text, rinfo } = await heard.next()
    t.equal(text, 'I am b')
    t.match(rinfo, { address: addressOf('b', 4), port: 5020, targetName: undefined })
    t.same(rinfo.peer?.names, ['b.example'])
    t.equal(await sent(socket, 'welcome', 5020, rinfo.address), 7)
    await until('the answer arrives', async () => (await b.received(5020)).includes('welcome'))
    await nothingInClear(t, wire, 5020, 6020)

    const other = await socketOf(t)
    const strangers = inbox(other)
    // To another host: what it prepares for that one lets b in no more than nothing would.
    await sent(other, 'only to bind it', 5020, addressOf('c', 4)).catch(() => {})
    const { port } = other.address()
    const refused = await failure(
      b.send({ fromPort: 5020, text: 'let me in', address: addressOf('a', 4), port }),
    )
    t.comment(refused)
    t.same(strangers.all, [])
    await nothingInClear(t, wire, 5020, port)
  })

  t.test('a peer that comes as somebody else than it was said to be is not heard', async t => {
    const socket = await socketOf(t, 4, 'certificate', 6030)
    const heard = inbox(socket)
    const [address, port] = [addressOf('b', 4), 5030]
    await socket.setPeerTargetName({ address, port: 0, targetName: nameOf('c') })
    const names = [{ address: addressOf('a', 4), port: 6030, targetName: nameOf('a') }]
    await b.datagrams({ proof: 'certificate', address, port, names })
    await b.send({ fromPort: port, text: 'I am c', address: addressOf('a', 4), port: 6030 })
    await until('it is dropped', () => socket.stats.dropped.unauthenticated > 0)
    const refused = await failure(sent(socket, 'are you?', port, address))
    t.comment(refused)
    t.match(refused, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
    t.same(heard.all, [])
    t.same(await b.received(port), [])
    await nothingInClear(t, wire, 5030, 6030)
  })

  t.test('what is sent in clear is not heard, by whoever and whenever', async t => {
    const socket = await socketOf(t, 4, 'certificate', 6040)
    const heard = inbox(socket)
    await b.datagrams({ proof: 'none', address: addressOf('b', 4), port: 5040 })
    await b.send({ fromPort: 5040, text: 'in clear', address: addressOf('a', 4), port: 6040 })
    await wire.settled()
    await b.datagrams({ proof: 'certificate', address: addressOf('b', 4), port: 5041 })
    await socket.setPeerTargetName({ address: addressOf('b', 4), port: 0, targetName: nameOf('b') })
    await sent(socket, 'secured', 5041, addressOf('b', 4))
    t.equal((await heard.next()).text, 'secured')
    t.equal(heard.all.length, 1)
    await nothingInClear(t, wire, 5041)
  })

  t.test('secure() secures ahead of any message; two who ask share one negotiation', async t => {
    const peer = { address: addressOf('b', 4), port: 5050 }
    await b.datagrams({ proof: 'psk', ...peer })
    const socket = await socketOf(t, 4, 'psk')
    await socket.setPeerTargetName({ ...peer, targetName: 'b.example' })
    const [one, other] = await Promise.all([socket.secure(peer), socket.secure(peer)])
    t.match(one, { secured: true, protocol: 'ipsec', peer: { pskIdentity: 'b.example' } })
    t.equal(one.ipsec?.quickModeSaId, other.ipsec?.quickModeSaId)
    t.same(await b.received(5050), [])
    await sent(socket, 'x', 5050, peer.address)
    await until('it arrives', async () => (await b.received(5050)).includes('x'))
    await nothingInClear(t, wire, 5050, socket.address().port)
  })
}
