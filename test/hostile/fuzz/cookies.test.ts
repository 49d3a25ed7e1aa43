/** A cookie is good for whom it was given to, and for nobody else, whatever else somebody says with it. */
import fc from 'fast-check'
import t from 'tap'
import type { ClientHello } from '../../../src/providers/dtls/client-hello.js'
import { createCookies, HELLO_VERIFY_REQUEST_LENGTH } from '../../../src/providers/dtls/cookie.js'
import {
  ownCookieSecrets,
  sharedCookieSecrets,
} from '../../../src/providers/dtls/cookie-secrets.js'
import { holds } from './property.js'

const bytes = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map(each => Buffer.from(each))
const asked = fc.record({
  random: bytes(32),
  recordNumber: bytes(8),
  address: fc.oneof(bytes(4), bytes(16)),
  port: fc.integer({ min: 0, max: 65535 }),
  now: fc.integer({ min: 0, max: 2 ** 40 }),
  isShared: fc.boolean(),
})

t.test('a cookie that is changed, or comes from elsewhere, is none', async t => {
  const change = fc.record({ at: fc.nat(1000), by: fc.integer({ min: 1, max: 255 }) })
  await holds(t, fc.tuple(asked, change), 400, ([given, { at, by }]) => {
    const { random, recordNumber, address, port, now, isShared } = given
    let time = now
    const clock = { now: () => time, wallTime: () => 1e12 + time }
    const keys = [Buffer.alloc(48, 1)]
    const shared = sharedCookieSecrets(clock)
    const cookies = createCookies(isShared ? () => shared(keys) : ownCookieSecrets(clock.now))
    const hello: ClientHello = { random, recordNumber, messageSequence: 0, cookie: Buffer.alloc(0) }
    const request = cookies.request(hello, address, port)
    if (request.length !== HELLO_VERIFY_REQUEST_LENGTH) throw new Error('60 bytes')
    const cookie = Buffer.from(request.subarray(-32))
    const second = { ...hello, messageSequence: 1, cookie }
    time += 5
    const givenAt = cookies.givenAt(second, address, port)
    if (givenAt === undefined || Math.abs(givenAt - now) > 1) throw new Error(`given at ${givenAt}`)
    const forged = (bytes: Buffer) => {
      const copy = Buffer.from(bytes)
      copy[at % copy.length] = (copy[at % copy.length] as number) ^ by
      return copy
    }
    const others: [ClientHello, Buffer, number][] = [
      [{ ...second, cookie: forged(cookie) }, address, port],
      [{ ...second, cookie: cookie.subarray(0, at % 32) }, address, port],
      [{ ...second, cookie: Buffer.concat([cookie, Buffer.alloc(1 + (at % 200))]) }, address, port],
      [{ ...second, random: forged(random) }, address, port],
      [{ ...second, messageSequence: at === 1 ? 0 : at }, address, port],
      [second, forged(address), port],
      [
        second,
        Buffer.concat([address, Buffer.alloc(12)]).subarray(0, address.length === 4 ? 16 : 4),
        port,
      ],
      [second, address, (port + by) % 65536],
    ]
    for (const [place, [other, from, itsPort]] of others.entries())
      if (cookies.givenAt(other, from, itsPort) !== undefined)
        throw new Error(`forged in way ${place}`)
    time += 200_000
    if (cookies.givenAt(second, address, port) !== undefined) throw new Error('for ever')
  })
})
