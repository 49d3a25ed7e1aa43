/**
 * A HelloVerifyRequest is lost, and one more datagram: a handshake that would be resumed is resumed all the
 * same. A session is given up where the peer is silent, not where much was lost before: a server that is in
 * the middle of the old handshake takes no other hello, and GnuTLS's not for a minute.
 */
import t from 'tap'
import { seededRandom } from '../../model/random.js'
import { isAll } from '../extent.js'
import { begin, bothSecured, faultOf, handshakeKinds, meeting } from './simulated-handshake.js'

/** Two timers of a second, of either end, one of two where the second datagram was a repeated one, and the way. */
const TIMERS = 4000 + 40

const kinds = await handshakeKinds()

for (const kind of isAll ? kinds : kinds.filter(({ resumed }) => resumed))
  for (const toServer of [true, false])
    t.test(`${kind.name}, and one ${toServer ? 'to the server' : 'to the client'}`, async t => {
      const random = seededRandom(t)
      const first = toServer ? 0 : 1
      let second = first
      for (let dropped = true; dropped; second++) {
        const pair = meeting(random, kind)
        const counts = { toServer: 0, toClient: 0 }
        dropped = false
        pair.network.passage = (datagram, _from, to) => {
          const direction = to === pair.server ? 'toServer' : 'toClient'
          const index = counts[direction]++
          const isSecond = toServer === (to === pair.server) && index === second
          dropped ||= isSecond
          return isSecond || (direction === 'toClient' && index === 0) ? undefined : datagram
        }
        const begun = pair.network.clock.time
        begin(pair)
        const done = pair.network.until(() => bothSecured(pair))
        const took = pair.network.clock.time - begun
        // Two hellos without any answer: nobody has begun, and a session may be the reason.
        const expected = { ...kind, resumed: kind.resumed && second > 1 }
        const fault = done ? faultOf(pair, expected) : 'it did not complete'
        if (fault === undefined && took <= TIMERS) continue
        t.comment(pair.network.log.join('\n'))
        t.fail(`number ${second}: ${took} ms, ${fault}`)
      }
      // The last time there was none with that number.
      const lost = second - 1 - first
      t.ok(lost >= 2, `each of ${lost}`)
    })
