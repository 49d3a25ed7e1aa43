/**
 * Datagrams over the strongSwan provider, with real packets between two hosts: nothing of them is
 * ever in clear on the wire, the first message is not lost, and one socket keeps its peers apart.
 */
import t, { type Test } from 'tap'
import { createSocket, type SecureDgramSocket } from '../../src/dgram.js'
import { event, failure } from '../support/events.js'
import { inbox, sent } from '../support/secured-datagrams.js'
import { addressOf, type Family, needsGuest, nameOf, securityOf } from './support/hosts.js'
import { type Peer, startPeer } from './support/peer.js'
import { inClear, inWords, secured, type Wire, watchWire } from './support/wire.js'

let b: Peer
let wire: Wire

/** A secured socket of host a, closed with the test. */
async function socketOf(
  t: Test,
  family: Family = 4,
  proof: 'certificate' | 'psk' = 'certificate',
  port?: number,
): Promise<SecureDgramSocket> {
  const socket = createSocket({ type: `udp${family}`, security: securityOf('a', proof) })
  t.teardown(async () => await socket[Symbol.asyncDispose]())
  if (port !== undefined) {
    socket.bind(port, addressOf('a', family))
    await event(socket, 'listening', 30_000)
  }
  return socket
}

async function nothingInClear(t: Test, ...ports: number[]): Promise<void> {
  const packets = await wire.packets()
  for (const port of ports) t.same(inWords(inClear(packets, port)), [], `port ${port}`)
}

if (needsGuest(t)) {
  t.before(async () => {
    b = startPeer(t, 'b')
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
      await nothingInClear(t, port, socket.address().port)
      t.ok(secured(await wire.packets(), addressOf('a', family), address).length > 0)
    })
  }
}
