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
  heardServerHello: false,
  retransmissions: 0,
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
  t.equal(verdict(low, undefined), 'serve')
  t.equal(verdict(low, inFlight('server', high)), 'serve', 'it has begun anew')
  t.equal(verdict(high, inFlight('client', low)), 'serve', 'the larger random is the client')
  t.equal(verdict(low, inFlight('client', high)), 'hold')
  const answered = { heardServerHello: true }
  t.equal(verdict(high, inFlight('client', low, answered)), 'ignore')
  t.equal(verdict(low, inFlight('client', high, answered)), 'ignore')
})
