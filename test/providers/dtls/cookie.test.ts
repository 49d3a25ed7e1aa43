/** The cookie exchange: nothing is kept of a stranger, and a cookie is good for one address only. */
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { type ClientHello, parseClientHello } from '../../../src/providers/dtls/client-hello.js'
import { AMPLIFICATION_LIMIT, createCookies } from '../../../src/providers/dtls/cookie.js'
import { COOKIE_PERIOD, ownCookieSecrets } from '../../../src/providers/dtls/cookie-secrets.js'
import { flipBit } from '../../support/flip-bit.js'
import { clientHello } from './hellos.js'

const address = Buffer.from([192, 0, 2, 1])
const hello = (options = {}) => parseClientHello(clientHello(options)) as ClientHello
/** The cookie in a HelloVerifyRequest. */
const cookieOf = (request: Buffer) => request.subarray(28)

t.test('the answer is a HelloVerifyRequest of 60 bytes that repeats the record number', async t => {
  const cookies = createCookies(ownCookieSecrets(() => 0))
  const recordNumber = Buffer.from('0000000000000123', 'hex')
  const random = randomBytes(32)
  const question = clientHello({ random, recordNumber })
  const request = cookies.request(hello({ random, recordNumber }), address, 5000)
  t.equal(request.length, 60)
  t.ok(request.length <= AMPLIFICATION_LIMIT * question.length)
  t.equal(
    request.subarray(0, 28).toString('hex'),
    '16feff0000000000000123002f030000230000000000000023feff20',
  )
})

t.test('a cookie holds for its address, its port and its random', async t => {
  const cookies = createCookies(ownCookieSecrets(() => 0))
  const random = randomBytes(32)
  const cookie = cookieOf(cookies.request(hello({ random }), address, 5000))
  const second = hello({ random, cookie })
  t.equal(cookies.givenAt(second, address, 5000), 0)
  t.equal(cookies.givenAt(second, address, 5001), undefined, 'another port')
  t.equal(cookies.givenAt(second, Buffer.from([192, 0, 2, 2]), 5000), undefined, 'another address')
  t.equal(cookies.givenAt(hello({ cookie }), address, 5000), undefined, 'another random')
  t.equal(cookies.givenAt(hello({ random }), address, 5000), undefined, 'none')
  for (let bit = 0; bit < 256; bit++) {
    const wrong = Buffer.from(cookie)
    flipBit(wrong, bit)
    if (cookies.givenAt(hello({ random, cookie: wrong }), address, 5000) !== undefined)
      t.fail(`bit ${bit}`)
  }
  t.equal(
    createCookies(ownCookieSecrets(() => 0)).givenAt(second, address, 5000),
    undefined,
    'another server',
  )
})

t.test(
  'the handshake goes on with message 1: a cookie in a first message is asked for again',
  async t => {
    const cookies = createCookies(ownCookieSecrets(() => 0))
    const random = randomBytes(32)
    const cookie = cookieOf(cookies.request(hello({ random }), address, 5000))
    t.equal(
      cookies.givenAt(hello({ random, cookie, messageSequence: 0 }), address, 5000),
      undefined,
    )
    t.equal(
      cookies.givenAt(hello({ random, cookie, messageSequence: 2 }), address, 5000),
      undefined,
    )
  },
)

t.test('addresses of different lengths, and scopes, do not run into each other', async t => {
  const cookies = createCookies(ownCookieSecrets(() => 0))
  const random = randomBytes(32)
  const long = Buffer.concat([address, random.subarray(0, 1)])
  const cookie = cookieOf(cookies.request(hello({ random }), address, 5000))
  t.equal(cookies.givenAt(hello({ random, cookie }), long, 5000), undefined)
})

t.test('the secret changes; the one before it holds for as long again', async t => {
  let now = 1000.75
  const cookies = createCookies(ownCookieSecrets(() => now))
  const random = randomBytes(32)
  const holds = (cookie: Buffer) =>
    cookies.givenAt(hello({ random, cookie }), address, 5000) !== undefined
  const first = cookieOf(cookies.request(hello({ random }), address, 5000))
  now += COOKIE_PERIOD - 1
  t.equal(
    cookies.givenAt(hello({ random, cookie: first }), address, 5000),
    1000.75,
    'it tells when',
  )
  now += 1
  t.ok(holds(first), 'in the next period')
  const second = cookieOf(cookies.request(hello({ random }), address, 5000))
  t.not(first.toString('hex'), second.toString('hex'))
  now += COOKIE_PERIOD
  t.notOk(holds(first), 'in the one after that')
  t.ok(holds(second))
  now += 10 * COOKIE_PERIOD
  t.notOk(holds(second), 'after a long time without a word')
})
