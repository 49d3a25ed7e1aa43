/**
 * Cookies of a fleet: whoever has the same ticket keys accepts them, by the time of the wall clock,
 * which differs from host to host, and can be set anew.
 */
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { type ClientHello, parseClientHello } from '../../../src/providers/dtls/client-hello.js'
import { createCookies } from '../../../src/providers/dtls/cookie.js'
import {
  CLOCK_TOLERANCE,
  SHARED_COOKIE_LIFETIME,
  sharedCookieSecrets,
} from '../../../src/providers/dtls/cookie-secrets.js'
import { clientHello } from './hellos.js'

const address = Buffer.from([192, 0, 2, 1])
const random = randomBytes(32)
const TODAY = Date.parse('2030-01-01T12:00:00Z')

/** A host that has run for a while, with a clock that may be wrong. */
class Host {
  running: number
  wall: number
  keys: readonly Buffer[]
  readonly #cookies

  constructor(keys: readonly Buffer[], { ahead = 0, running = 5000.25 } = {}) {
    this.keys = keys
    this.running = running
    this.wall = TODAY + ahead
    const clock = { now: () => this.running, wallTime: () => Math.floor(this.wall) }
    const secrets = sharedCookieSecrets(clock)
    this.#cookies = createCookies(() => secrets(this.keys))
  }

  give(): Buffer {
    const hello = parseClientHello(clientHello({ random })) as ClientHello
    return Buffer.from(this.#cookies.request(hello, address, 5000).subarray(28))
  }

  /** When it was given, by this host's own clock. */
  givenAt(cookie: Buffer, port = 5000, of = random): number | undefined {
    const hello = parseClientHello(clientHello({ random: of, cookie })) as ClientHello
    return this.#cookies.givenAt(hello, address, port)
  }

  accepts(cookie: Buffer): boolean {
    return this.givenAt(cookie) !== undefined
  }

  pass(milliseconds: number): void {
    this.running += milliseconds
    this.wall += milliseconds
  }
}

const keys = [randomBytes(48)]

t.test('a cookie of one host is good at another, for the same client only', async t => {
  const one = new Host(keys)
  const two = new Host([Buffer.from(keys[0] as Buffer)], { running: 900_000 })
  const cookie = one.give()
  t.ok(two.accepts(cookie))
  t.equal(two.givenAt(cookie, 5001), undefined, 'another port')
  t.equal(two.givenAt(cookie, 5000, randomBytes(32)), undefined, 'another handshake')
  t.notOk(new Host([randomBytes(48)]).accepts(cookie), 'another fleet')
})

t.test('it tells when it was given, as finely as the clock does', async t => {
  const host = new Host(keys)
  const cookie = host.give()
  host.pass(1500.5)
  t.equal(host.givenAt(cookie), 5000.25)
  t.ok(Math.abs((new Host(keys, { ahead: 1500 }).givenAt(cookie) ?? 0) - 3500.25) < 2)
})

t.test('it holds for its time, and clocks may differ by some seconds', async t => {
  const cookie = new Host(keys).give()
  const accepts = (ahead: number) => new Host(keys, { ahead }).accepts(cookie)
  t.ok(accepts(SHARED_COOKIE_LIFETIME + CLOCK_TOLERANCE))
  t.notOk(accepts(SHARED_COOKIE_LIFETIME + CLOCK_TOLERANCE + 2))
  t.ok(accepts(2 - CLOCK_TOLERANCE))
  t.notOk(accepts(-CLOCK_TOLERANCE - 2))
  t.notOk(accepts(24 * 3600_000), 'the cookie of yesterday')
  t.notOk(accepts(-24 * 3600_000))
})

t.test('one from a host whose clock is ahead is not from the future', async t => {
  const cookie = new Host(keys, { ahead: 5000 }).give()
  const host = new Host(keys)
  t.equal(host.givenAt(cookie), host.running)
})

t.test('a clock that is set while we run is followed', async t => {
  const host = new Host(keys, { ahead: -40 * 365 * 24 * 3600_000 })
  const others = new Host(keys)
  t.notOk(host.accepts(others.give()), 'a machine without a clock of its own begins in 1990')
  host.wall = TODAY
  t.ok(host.accepts(others.give()), 'and is told the time')
  t.ok(others.accepts(host.give()))
  const cookie = host.give()
  host.wall -= 3000
  t.ok(host.accepts(cookie), 'and set back a little')
})

t.test('a clock that jitters does not change the order of what happens here', async t => {
  const host = new Host(keys)
  const cookies = [0, 1, 2, 3].map(step => {
    host.pass(0.25)
    host.wall += step % 2 === 0 ? 20 : -20
    return host.give()
  })
  const times = cookies.map(cookie => host.givenAt(cookie) ?? 0)
  t.same(
    times,
    [...times].sort((a, b) => a - b),
  )
  t.equal(new Set(times).size, 4)
})

t.test('a new key: hosts that know it and hosts that do not yet', async t => {
  const next = randomBytes(48)
  const old = new Host(keys)
  const both = new Host([next, ...keys])
  t.ok(both.accepts(old.give()), 'the key before it is still good')
  t.notOk(old.accepts(both.give()), 'the new one is not known there yet: the client is asked again')
  old.keys = [next, ...keys]
  t.ok(old.accepts(both.give()))
  const last = new Host(keys).give()
  old.keys = [next]
  t.notOk(old.accepts(last), 'a key that is gone')
})

t.test('stamps that begin anew', async t => {
  // 2^48 microseconds are nine years: with a random begin, it may be any moment.
  for (let times = 0; times < 200; times += 1) {
    const key = [randomBytes(48)]
    const ahead = times * 30 * 24 * 3600_000
    const host = new Host(key, { ahead })
    const cookie = host.give()
    host.pass(30_000)
    if (!new Host(key, { ahead: ahead + 30_000 }).accepts(cookie)) t.fail(`${times}`)
    if (host.givenAt(cookie) !== 5000.25) t.fail(`${times}: ${host.givenAt(cookie)}`)
  }
})

t.test('the time in it is a number that tells strangers nothing', async t => {
  const stampOf = (cookie: Buffer) => cookie.readUIntBE(0, 6)
  const stamps = [1, 2, 3].map(() => stampOf(new Host([randomBytes(48)]).give()))
  t.equal(new Set(stamps).size, 3)
})
