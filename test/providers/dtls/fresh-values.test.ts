/**
 * What must be new each time is: the randoms of a handshake (a client of GnuTLS sent zeros, CVE-2020-11501)
 * and the nonces of AES-GCM, of which two alike give the key away (CVE-2026-26014). OpenSSL makes them;
 * the calls that let it do so are ours, and so is what goes around it when a flight is sent again.
 */
import t from 'tap'
import { parseClientHello } from '../../../src/providers/dtls/client-hello.js'
import { groupRecords } from '../../../src/providers/dtls/flight.js'
import {
  HELLO_VERIFY_REQUEST,
  SERVER_HELLO,
  serverRandom,
} from '../../../src/providers/dtls/handshake-types.js'
import { epochOf, HEADER_LENGTH, numberOf } from '../../../src/providers/dtls/records.js'
import { seededRandom } from '../../model/random.js'
import { testIdentity } from '../../support/identities.js'
import { until } from '../../support/until.js'
import { messageOf } from './hellos.js'
import { Network } from './network.js'
import { clock, createPair, type End, handshake, protect } from './pair.js'

const { cert, key, ca } = (await testIdentity()) as { cert: string; key: string; ca: string }
const mine = (await testIdentity(['client.example'])) as { cert: string; key: string }
const client = { cert: mine.cert, key: mine.key, ca }
const server = { cert, key, ca }

t.test('no random of a handshake comes twice, and none is made of the same bytes', async t => {
  const randoms: Buffer[] = []
  for (let count = 0; count < 10; count++) {
    const pair = handshake({ client, server, targetName: 'localhost' })
    t.equal(pair.server.secured, 1)
    const [hello, again] = records(pair.client).flatMap(each => parseClientHello(each) ?? [])
    const answer = records(pair.server).flatMap(each => serverRandom(each) ?? [])
    t.same(hello?.random, again?.random, 'the hello with a cookie is the same one')
    randoms.push(hello?.random as Buffer, answer[0] as Buffer)
  }
  t.equal(new Set(randoms.map(each => each.toString('hex'))).size, 20)
  // 32 random bytes have 30 different ones, as a rule; of a billion such numbers none has fewer than 18.
  for (const random of randoms) t.ok(new Set(random).size >= 18, random.toString('hex'))
})

for (const ciphers of ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-CHACHA20-POLY1305'])
  t.test(`no number of a record, and no nonce, comes twice: ${ciphers}`, async t => {
    const pair = createPair({
      client: { ...client, ciphers },
      server,
      targetName: 'localhost',
      retransmitAfter: 100,
    })
    // The last flight of each is lost once, so each sends it again.
    const lost = new Set<End>()
    await until('both are secured', () => {
      for (const [from, to] of [
        [pair.client, pair.server],
        [pair.server, pair.client],
      ] as const) {
        if (clock.now() >= from.association.deadline) from.association.tick()
        const flight = from.waiting.splice(0)
        if (!lost.has(from) && records(flight).some(isProtected)) lost.add(from)
        else for (const datagram of flight) to.association.receive(datagram)
      }
      return pair.client.secured + pair.server.secured === 2
    })
    t.equal(lost.size, 2)
    for (const end of [pair.client, pair.server]) {
      const sent = records(end).filter(isProtected)
      t.ok(sent.length > 1, 'its Finished has left more than once')
      for (let count = 0; count < 300; count++)
        sent.push(protect(end.association, Buffer.from('the same message each time')))
      end.association.close()
      sent.push(...records(end).filter(isProtected).slice(-1))
      const numbers = sent.map(each => each.toString('hex', 3, 11))
      t.equal(new Set(numbers).size, sent.length)
      if (!ciphers.includes('GCM')) continue
      const nonces = sent.map(each => each.toString('hex', HEADER_LENGTH, HEADER_LENGTH + 8))
      t.equal(new Set(nonces).size, sent.length)
    }
  })

t.test(
  'no number of a clear record comes twice, also where the cookie was asked for more than once',
  async t => {
    const network = new Network(seededRandom(t))
    const a = network.station(client, { address: '198.18.40.1' })
    const b = network.station(server, { address: '198.18.40.2' })
    let [lost, flights] = [0, 0]
    const numbers: number[] = []
    network.passage = (datagram, from) => {
      if (from !== b) return datagram
      for (const each of records([datagram])) if (!isProtected(each)) numbers.push(numberOf(each))
      // Each question for the cookie, as far as the third one, and the first flight once.
      if (messageOf(datagram, HELLO_VERIFY_REQUEST)) return lost++ < 3 ? undefined : datagram
      return messageOf(datagram, SERVER_HELLO) && flights++ === 0 ? undefined : datagram
    }
    a.send('x', b, 'localhost')
    t.ok(network.until(() => b.messages.length === 1, 30_000))
    t.equal(lost, 4)
    t.ok(flights > 1)
    t.equal(new Set(numbers).size, numbers.length, `${numbers}`)
  },
)

/** The records that an end has sent, or those of datagrams. */
function records(of: End | Buffer[]): Buffer[] {
  return (Array.isArray(of) ? of : of.sent).flatMap(each => groupRecords(each, 1))
}

function isProtected(record: Buffer): boolean {
  return epochOf(record, 0) > 0
}
