/**
 * Each datagram of a handshake is lost once: every index, both directions, every kind, in few large
 * datagrams and in many small ones. The handshake is complete after one retransmission (RFC 6347,
 * section 4.2.4), and what is said afterwards arrives, once.
 */
import t from 'tap'
import { seededRandom } from '../../model/random.js'
import type { Station } from '../../providers/dtls/network.js'
import {
  begin,
  bothSecured,
  faultOf,
  handshakeKinds,
  type Meeting,
  meeting,
} from './simulated-handshake.js'

/** One timer of a second, of whichever end has it, and the time on the way: a millisecond for each flight. */
const ONE_TIMER = 1000 + 20

for (const kind of await handshakeKinds())
  for (const mtu of [1200, 256])
    t.test(`${kind.name}, in datagrams of at most ${mtu} bytes`, async t => {
      const random = seededRandom(t)
      for (const direction of ['toServer', 'toClient'] as const) {
        let lost = 0
        // Until there is no datagram with that number.
        for (; ; lost++) {
          const pair = meeting(random, kind, { mtu })
          const seen = dropOne(pair, direction, lost)
          begin(pair)
          const complete = pair.network.until(() => bothSecured(pair))
          const took = pair.network.clock.time - seen.begun
          const fault = complete ? faultOf(pair, kind) : 'it did not complete'
          if (fault !== undefined || took > ONE_TIMER) {
            t.comment(pair.network.log.join('\n'))
            t.fail(`${direction}, number ${lost}: ${took} ms, ${fault}`)
          }
          if (seen.dropped === 0) break
        }
        const least = kind.resumed && direction === 'toClient' ? 2 : 3
        t.ok(lost >= least, `each of ${lost} ${direction}`)
      }
    })

function dropOne(
  { network, server }: Meeting,
  direction: 'toServer' | 'toClient',
  index: number,
): { dropped: number; readonly begun: number } {
  let count = 0
  const seen = { dropped: 0, begun: network.clock.time }
  network.passage = (datagram: Buffer, _from: Station, to: Station) => {
    if ((to === server) !== (direction === 'toServer')) return datagram
    count += 1
    if (count - 1 !== index) return datagram
    seen.dropped += 1
    return undefined
  }
  return seen
}
