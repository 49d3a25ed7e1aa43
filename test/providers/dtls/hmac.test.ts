/** Our way to compute an HMAC gives what node:crypto's own gives, with crypto.hash() and without. */
import { createHmac, randomBytes } from 'node:crypto'
import t from 'tap'
import { hmacSha256 } from '../../../src/providers/dtls/hmac.js'

for (const [title, mac] of [
  ['as this Node computes it', (key: Buffer) => hmacSha256(key)],
  ['where there is no crypto.hash()', (key: Buffer) => hmacSha256(key, null)],
] as const) {
  t.test(title, async t => {
    for (let length = 0; length <= 200; length++) {
      const key = randomBytes(32)
      const of = mac(key)
      // Twice: the first must leave nothing behind.
      of(randomBytes(256))
      const message = randomBytes(length)
      const expected = createHmac('sha256', key).update(message).digest('hex')
      t.equal(Buffer.from(of(message)).toString('hex'), expected, `${length} bytes`)
    }
  })
}
