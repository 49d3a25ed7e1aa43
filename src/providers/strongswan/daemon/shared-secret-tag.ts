/** Tells secrets apart, in names that stand in the daemon's log. */
import { createHash, scryptSync } from 'node:crypto'

/** Bytes of the tag: too few to find a secret by, enough to notice that two differ. */
const BYTES = 2
const REMEMBERED = 200

const known = new Map<string, string>()

/** Of a secret that is shared with that peer: the same in every process. */
export function secretTag(secret: Buffer, remoteId: string): string {
  const key = createHash('sha256').update(secret).update(remoteId).digest('hex')
  const before = known.get(key)
  if (before !== undefined) return before
  if (known.size >= REMEMBERED) known.clear()
  // Slow, so that guessing is.
  const tag = scryptSync(secret, `secure-socket ${remoteId}`, BYTES, { N: 4096 }).toString('hex')
  known.set(key, tag)
  return tag
}
