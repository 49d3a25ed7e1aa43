/**
 * HMAC-SHA256 (RFC 2104) of short messages under a key that serves for many: what a flood of hellos
 * makes us compute. crypto.hash(), where Node has it, takes a third of createHmac()'s time.
 */
import crypto, { createHmac, createSecretKey } from 'node:crypto'

/** @returns 32 bytes; the same memory each time, so they are to be read at once */
export type Mac = (message: Uint8Array) => Buffer

/** SHA-256's. */
const BLOCK_LENGTH = 64
const TAG_LENGTH = 32
/** Bytes of a message, at most. */
const LONGEST = 256

/** Since Node 20.12. */
type Hash = (algorithm: string, data: Uint8Array, encoding: 'hex') => string

/**
 * @param key 32 bytes
 * @param hash crypto.hash(); null where there is none
 */
export function hmacSha256(
  key: Uint8Array,
  hash: Hash | null = (crypto as { hash?: Hash }).hash ?? null,
): Mac {
  return hash === null ? byHmac(key) : byHash(key, hash)
}

function byHash(key: Uint8Array, hash: Hash): Mac {
  // Each: the key under its pad, and what is hashed with it.
  const inner = Buffer.alloc(BLOCK_LENGTH + LONGEST, 0x36)
  const outer = Buffer.alloc(BLOCK_LENGTH + TAG_LENGTH, 0x5c)
  for (const [index, byte] of key.entries()) {
    inner[index] = 0x36 ^ byte
    outer[index] = 0x5c ^ byte
  }
  const tag = Buffer.alloc(TAG_LENGTH)
  return message => {
    inner.set(message, BLOCK_LENGTH)
    // As text: a Buffer made for it would take longer than the hash.
    outer.write(
      hash('sha256', inner.subarray(0, BLOCK_LENGTH + message.length), 'hex'),
      BLOCK_LENGTH,
      'hex',
    )
    tag.write(hash('sha256', outer, 'hex'), 'hex')
    return tag
  }
}

/** With a KeyObject: with a Buffer each HMAC would import the key anew, which takes ten times as long. */
function byHmac(key: Uint8Array): Mac {
  const secret = createSecretKey(key)
  return message => createHmac('sha256', secret).update(message).digest()
}
