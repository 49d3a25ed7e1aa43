/**
 * The keys of session tickets, for OpenSSL, which asks in each handshake (see
 * SSL_CTX_set_tlsext_ticket_key_evp_cb): so they can change while the context stays, and the ones
 * before them still open what they have sealed. Tickets are sealed as OpenSSL does by itself: by
 * AES-256 in CBC mode, then HMAC-SHA256 (RFC 5077, section 4).
 */
import { randomBytes } from 'node:crypto'
import { endianness } from 'node:os'
import { loadKoffi } from '../../../lib/koffi.js'
import { type Arena, createArena, type Pointer } from '../../../lib/memory.js'
import { OSSL_PARAM_UTF8_STRING } from '../../../lib/openssl.js'
import { derivedKey } from '../ticket-keys.js'
import { openssl, setPointerAt, type TicketRequest } from './openssl.js'

const NAME_LENGTH = 16
const IV_LENGTH = 16
const KEY_LENGTH = 32

/** Prepares OpenSSL to seal a ticket by the current key. @returns whether it can */
export function sealTicket(keys: readonly Buffer[], request: TicketRequest): boolean {
  const [current] = keys
  if (current === undefined) return false
  const { lib } = openssl()
  const key = ticketKey(current)
  write(request.name, key.subarray(0, NAME_LENGTH))
  write(request.iv, randomBytes(IV_LENGTH))
  return withKeys(key, request, cipherKey =>
    lib.EVP_EncryptInit_ex(request.cipher, lib.EVP_aes_256_cbc(), 0, cipherKey, request.iv),
  )
}

/** Prepares OpenSSL to open a ticket by the key that has sealed it. @returns whether there is one */
export function openTicket(keys: readonly Buffer[], request: TicketRequest): boolean {
  const { lib } = openssl()
  const name = read(request.name, NAME_LENGTH)
  const key = keys.map(ticketKey).find(each => name.equals(each.subarray(0, NAME_LENGTH)))
  if (key === undefined) return false
  return withKeys(key, request, cipherKey =>
    lib.EVP_DecryptInit_ex(request.cipher, lib.EVP_aes_256_cbc(), 0, cipherKey, request.iv),
  )
}

/** A name, by which a ticket tells its key, and the keys of the cipher and of the HMAC. */
function ticketKey(key: Buffer): Buffer {
  return derivedKey(key, 'DTLS ticket keys', NAME_LENGTH + 2 * KEY_LENGTH)
}

/** They stand in memory of ours only while OpenSSL copies them. */
function withKeys(
  key: Buffer,
  { mac }: TicketRequest,
  initialise: (cipherKey: Pointer) => number,
): boolean {
  const { lib } = openssl()
  room ??= makeRoom()
  const { arena, parameters } = room
  try {
    key.copy(arena.bytes, 0, NAME_LENGTH)
    const { address } = arena
    return (
      initialise(address) === 1 &&
      lib.EVP_MAC_init(mac, address + KEY_LENGTH, KEY_LENGTH, parameters) === 1
    )
  } finally {
    arena.bytes.fill(0, 0, 2 * KEY_LENGTH)
  }
}

let room: { readonly arena: Arena; readonly parameters: Pointer } | undefined

/** Two keys; then the parameters of the HMAC, an OSSL_PARAM[2] that ends with an empty one (core.h). */
function makeRoom() {
  const arena = createArena(256)
  const { bytes, address } = arena
  bytes.fill(0)
  const { sizeofPointer: size } = openssl()
  const texts = 2 * KEY_LENGTH
  bytes.write('digest\0SHA256\0', texts, 'latin1')
  const begin = texts + 16
  // key, data_type, data, data_size, return_size
  setPointerAt(arena, begin, address + texts)
  const writeType = endianness() === 'LE' ? 'writeUInt32LE' : 'writeUInt32BE'
  bytes[writeType](OSSL_PARAM_UTF8_STRING, begin + size)
  setPointerAt(arena, begin + 2 * size, address + texts + 'digest\0'.length)
  setPointerAt(arena, begin + 3 * size, 'SHA256'.length)
  return { arena, parameters: address + begin }
}

function write(address: Pointer, bytes: Uint8Array): void {
  loadKoffi().encode(BigInt(address), 'uint8_t', bytes, bytes.length)
}

function read(address: Pointer, length: number): Buffer {
  return Buffer.from(loadKoffi().decode(BigInt(address), 'uint8_t', length) as Uint8Array)
}
