/** A ClientHello of a peer that we know: every case of the rules about several handshakes. */
import t from 'tap'
import {
  firstLook,
  type HandshakeInFlight,
  verdict,
} from '../../../src/providers/dtls/second-hello.js'

const low = Buffer.alloc(32, 1)
const high = Buffer.alloc(32, 2)
const inFlight = (role: 'client' | 'server', random: Buffer, more = {}): HandshakeInFlight => ({
  role,
  random,
  answeredAt: Number.POSITIVE_INFINITY,
  ...more,
})

t.test('before the cookie', async t => {
  t.equal(firstLook(low, undefined, []), 'new')
  t.equal(firstLook(low, inFlight('server', low), []), 'retransmission')
  t.equal(firstLook(low, inFlight('server', high), []), 'new', 'another handshake of it')
  t.equal(firstLook(low, inFlight('client', low), []), 'reflected', 'our own')
  t.equal(firstLook(low, inFlight('client', high), [low]), 'old', 'of an association, or given up')
  t.equal(firstLook(low, undefined, [null, undefined, low]), 'old')
  t.equal(firstLook(low, undefined, [null, undefined, high]), 'new')
})

t.test('after it', async t => {
  t.equal(verdict(low, 5, undefined), 'serve')
  t.equal(verdict(low, 5, inFlight('server', high)), 'serve', 'it has begun anew')
  t.equal(verdict(high, 5, inFlight('client', low)), 'serve', 'the larger random is the client')
  t.equal(verdict(low, 5, inFlight('client', high)), 'hold')
  for (const [theirs, ours] of [
    [low, high],
    [high, low],
  ] as const) {
    t.equal(verdict(theirs, 5, inFlight('client', ours, { answeredAt: 7 })), 'ignore')
    // What begins in the very moment of the answer came behind it: a hello before it crossed with ours.
    t.equal(verdict(theirs, 7, inFlight('client', ours, { answeredAt: 7 })), 'serve')
    t.equal(
      verdict(theirs, 8, inFlight('client', ours, { answeredAt: 7 })),
      'serve',
      'it has answered ours, and then begun anew',
    )
  }
})
