/**
 * The one OpenSSL of this process, and the rules under which it is called. Each rule stands for a
 * crash or a silent corruption that was seen where it is broken:
 *
 * - An SSL is one association's, whose handle becomes 0 as it is freed: no use after free, no double
 *   free. What nobody freed is freed when the association is collected.
 * - OpenSSL calls back only from inside a call of ours, so a callback belongs to the association
 *   whose call is running: enter() and leave(). Nothing is freed until the outermost call is back.
 * - There is one callback of each kind for the life of the process, and none of them throws.
 * - OpenSSL reads and writes only arenas: Buffers that are never collected, by base, offset and a
 *   length that was checked. koffi.address() pins nothing.
 * - All associations share one BIO for input and one for output. Both are empty between calls, but
 *   for records that are owed (owed-records.ts), which are read before anything else is done with it.
 */
import { endianness } from 'node:os'
import { type LibraryHandle, loadKoffi } from '../../../lib/koffi.js'
import { type Arena, addressOf, createArena, type Pointer } from '../../../lib/memory.js'
import {
  BIO_C_SET_BUF_MEM_EOF_RETURN,
  callbackTypes,
  declareOpenssl,
  declareVersion,
  OPENSSL_NPN_NEGOTIATED,
  type Openssl,
  SSL_TLSEXT_ERR_ALERT_FATAL,
  SSL_TLSEXT_ERR_OK,
} from '../../../lib/openssl.js'
import { SocketSecurityError } from '../../model/errors.js'
import { OwedRecords } from './owed-records.js'

/** Application protocols as on the wire; kept as long as the bytes are. */
export interface ProtocolList extends Arena {
  readonly length: number
}

/** What OpenSSL asks an association from inside its calls. */
export interface Callee {
  readonly handle: Pointer
  /** 1 goes on, 0 refuses the certificate. */
  verify(ok: boolean, storeContext: Pointer): boolean
  /** Our own identity and key, or null. */
  ownPsk(): { readonly identity: Buffer; readonly key: Uint8Array } | null
  /** The key of an identity, or null. */
  acceptedPsk(identity: string): Uint8Array | null
  /** The protocols that the server speaks, as on the wire, most wanted first. */
  readonly alpn: ProtocolList | null
  /** Says by which key a ticket is sealed, or is to be opened; false: by none. */
  ticketKey(request: TicketRequest, seals: boolean): boolean
  newSession(session: Pointer): void
  keylog(line: string): void
  /** Microseconds until the next retransmission. */
  nextTimeout(previous: number): number
}

/** What OpenSSL asks to be filled in, of a ticket; of one that has come, name and iv are there. */
export interface TicketRequest {
  readonly name: Pointer
  readonly iv: Pointer
  readonly cipher: Pointer
  readonly mac: Pointer
}

export interface Binding {
  readonly lib: Openssl
  /** As OpenSSL names itself. */
  readonly version: string
  /** The BIOs that all associations read from and write to. */
  readonly input: Pointer
  readonly output: Pointer
  /** What of the output has not been read yet. */
  readonly owed: OwedRecords
  /** Where messages and records pass through; nothing in it outlives a call. */
  readonly arena: Arena
  /** For small arguments: strings, pointers to pointers, a timeval. */
  readonly scratch: Arena
  readonly callbacks: Readonly<Record<keyof typeof callbackTypes, Pointer>>
  readonly sizeofLong: number
  readonly sizeofPointer: number
  /** A BIO_ADDR that nobody reads. */
  readonly nowhere: Pointer
}

/** What fits into the arena: more than any UDP datagram, more than any message or flight in one piece. */
export const arenaSize = 128 * 1024
const scratchSize = 8 * 1024

let binding: Binding | undefined

/**
 * The binding, made at the first call.
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE where native code cannot be called,
 * ERR_OPENSSL_UNSUPPORTED where there is no OpenSSL 3
 */
export function openssl(): Binding {
  binding ??= bind()
  return binding
}

function bind(): Binding {
  const koffi = loadKoffi()
  const { lib, version } = findOpenssl(koffi)
  const memoryBio = () => {
    const bio = lib.BIO_new(lib.BIO_s_mem())
    // An empty BIO is a network that is silent, not one that has ended.
    lib.BIO_ctrl(bio, BIO_C_SET_BUF_MEM_EOF_RETURN, -1, 0)
    return bio
  }
  const output = memoryBio()
  return {
    lib,
    version,
    input: memoryBio(),
    output,
    owed: new OwedRecords(lib, output),
    arena: createArena(arenaSize),
    scratch: createArena(scratchSize),
    callbacks: registerCallbacks(koffi),
    sizeofLong: koffi.sizeof('long'),
    sizeofPointer: koffi.sizeof('intptr_t'),
    nowhere: lib.BIO_ADDR_new(),
  }
}

/** What is needed of koffi to find a library; a test gives its own. */
export type Loader = Pick<ReturnType<typeof loadKoffi>, 'load'>

/**
 * Where the libraries are, where the process has none of its own. Windows has no place for them: by
 * their bare names it would take whatever lies in the working directory.
 */
const systemLibraries: Partial<Record<NodeJS.Platform, readonly [ssl: string, crypto: string]>> = {
  linux: ['libssl.so.3', 'libcrypto.so.3'],
  darwin: ['libssl.3.dylib', 'libcrypto.3.dylib'],
}

/**
 * OpenSSL 3 or newer: the one inside the process, else the system's where the process has none.
 * @throws SocketSecurityError ERR_OPENSSL_UNSUPPORTED that says what was tried
 */
export function findOpenssl(loader: Loader): { lib: Openssl; version: string } {
  const tried: string[] = []
  try {
    const process = loader.load(null)
    const inside = versionOf(process)
    if (inside === undefined) {
      tried.push('this process exports no OpenSSL')
    } else if (inside.usable) {
      return { lib: declareOpenssl(process, process), version: inside.text }
    } else {
      // The system's library beside it would find this one's functions in the place of its own.
      throw new Error(`this process has ${inside.text}`)
    }
    const names = systemLibraries[globalThis.process.platform]
    if (names === undefined) throw new Error('no other place is known on this platform')
    const [ssl, crypto] = names.map(name => loader.load(name, { deep: true }))
    const system = versionOf(crypto as LibraryHandle)
    if (!system?.usable) throw new Error(`${names[1]} is ${system?.text ?? 'no OpenSSL'}`)
    return {
      lib: declareOpenssl(ssl as LibraryHandle, crypto as LibraryHandle),
      version: system.text,
    }
  } catch (cause) {
    tried.push((cause as Error).message)
    throw new SocketSecurityError(
      'ERR_OPENSSL_UNSUPPORTED',
      `secured datagrams need OpenSSL 3 or newer, and it was not found: ${tried.join('; ')}. Datagrams are not available in this runtime; streams are`,
      { cause },
    )
  }
}

/** Undefined where there is no such function: no OpenSSL. */
function versionOf(library: LibraryHandle): { text: string; usable: boolean } | undefined {
  let version: ReturnType<typeof declareVersion>
  try {
    version = declareVersion(library)
  } catch {
    return undefined
  }
  const text = version.OpenSSL_version(0)
  // BoringSSL and LibreSSL answer too, with numbers of their own.
  const usable = /^OpenSSL/.test(text) && version.OpenSSL_version_num() >= 0x30000000
  return { text, usable }
}

/** A copy that stays where it is: V8 keeps small ones where it moves them. Whoever uses its address must keep it. */
export function immovable(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(Math.max(bytes.length, 1024))
  copy.set(bytes)
  return copy
}

/** The association whose call is running. */
let inside: Callee | null = null
/** What is to be freed when no call is running. */
const condemned: Pointer[] = []

/** Before a call of an association: says whose callbacks come now. Give the result to leave(). */
export function enter(callee: Callee): Callee | null {
  binding?.owed.settle()
  return enterToProtect(callee)
}

/** The same, where the call does nothing but protect a message. */
export function enterToProtect(callee: Callee): Callee | null {
  const outer = inside
  inside = callee
  return outer
}

/** After it, whatever happened. */
export function leave(outer: Callee | null): void {
  inside = outer
  if (outer === null && condemned.length > 0) {
    const { lib } = openssl()
    for (const ssl of condemned.splice(0)) lib.SSL_free(ssl)
  }
}

/** Frees an SSL: now, or as soon as no call is running. */
export function freeSsl(ssl: Pointer): void {
  if (inside === null) openssl().lib.SSL_free(ssl)
  else condemned.push(ssl)
}

/** Frees what belonged to an object that was collected without having been ended. */
export const leaked = new FinalizationRegistry<() => void>(free => free())

/**
 * Runs a function of the user's from inside a callback. It may use other associations, so what is in
 * the shared BIOs is put aside for it.
 */
export function aside<T>(run: () => T): T {
  const { input, output, owed } = openssl()
  const [unread, unsent] = [drain(input), drain(output)]
  try {
    return run()
  } finally {
    owed.settle()
    if (unread.length > 0) fill(input, unread)
    if (unsent.length > 0) fill(output, unsent)
  }
}

/** All that is in a BIO, in memory of its own. */
export function drain(bio: Pointer): Buffer {
  const { lib, arena, owed } = openssl()
  owed.settle()
  const length = lib.BIO_read(bio, arena.address, arenaSize)
  if (length <= 0) return nothing
  const copy = Buffer.allocUnsafe(length)
  arena.bytes.copy(copy, 0, 0, length)
  return length < arenaSize ? copy : Buffer.concat([copy, drain(bio)])
}

const nothing = Buffer.alloc(0)

/** Puts bytes into a BIO, as many as there are. */
export function fill(bio: Pointer, bytes: Uint8Array): void {
  const { lib, arena } = openssl()
  for (let at = 0; at < bytes.length; at += arenaSize) {
    const part = bytes.subarray(at, at + arenaSize)
    arena.bytes.set(part)
    lib.BIO_write(bio, arena.address, part.length)
  }
}

/** A text of ours as a C string, until the next use of the scratch arena. */
export function cString(text: string): Pointer {
  const { scratch } = openssl()
  if (Buffer.byteLength(text) >= scratchSize) throw new RangeError('the text is too long')
  scratch.bytes[scratch.bytes.write(text)] = 0
  return scratch.address
}

/** Reads a pointer that OpenSSL has put into an arena. */
export function pointerAt({ bytes }: Arena, offset: number): Pointer {
  return openssl().sizeofPointer === 8
    ? Number(bytes[littleEndian ? 'readBigUInt64LE' : 'readBigUInt64BE'](offset))
    : bytes[littleEndian ? 'readUInt32LE' : 'readUInt32BE'](offset)
}

export function setPointerAt({ bytes }: Arena, offset: number, pointer: Pointer): void {
  if (openssl().sizeofPointer === 8)
    bytes[littleEndian ? 'writeBigUInt64LE' : 'writeBigUInt64BE'](BigInt(pointer), offset)
  else bytes[littleEndian ? 'writeUInt32LE' : 'writeUInt32BE'](pointer, offset)
}

/** A C long at an offset that is counted in longs. */
export function longAt({ bytes }: Arena, index: number): number {
  return openssl().sizeofLong === 8
    ? Number(bytes[littleEndian ? 'readBigInt64LE' : 'readBigInt64BE'](index * 8))
    : bytes[littleEndian ? 'readInt32LE' : 'readInt32BE'](index * 4)
}

/** The text at an address, of a length or up to its final NUL. */
export function textAt(address: Pointer, length?: number): string {
  const { string } = loadKoffi().decode
  const text = length === undefined ? string(BigInt(address)) : string(BigInt(address), length)
  return text ?? ''
}

/** The pointer that stands in memory of OpenSSL's. */
export function pointerIn(address: Pointer): Pointer {
  return Number(loadKoffi().decode(BigInt(address), 'intptr_t'))
}

const littleEndian = endianness() === 'LE'

/**
 * What an i2d_… function writes, in memory of its own.
 * @param encode called with 0 for the length, then with the address of a pointer to the memory
 */
export function derOf(encode: (at: Pointer) => number): Buffer {
  const length = encode(0)
  if (length <= 0) return nothing
  const der = Buffer.allocUnsafeSlow(Math.max(length, 1024))
  const { scratch } = openssl()
  setPointerAt(scratch, 0, addressOf(der))
  encode(scratch.address)
  return der.subarray(0, length)
}

/**
 * What a d2i_… function makes of bytes; 0 where they are not what it reads.
 * @param decode called with the address of a pointer to the bytes, and their length
 */
export function decodeDer(
  der: Uint8Array,
  decode: (at: Pointer, length: number) => Pointer,
): Pointer {
  const { scratch } = openssl()
  const copy = immovable(der)
  setPointerAt(scratch, 0, addressOf(copy))
  const decoded = decode(scratch.address, der.length)
  copy.fill(0)
  return decoded
}

/** The callbacks of the process, dispatched to the association whose call is running. */
function registerCallbacks(koffi: ReturnType<typeof loadKoffi>): Binding['callbacks'] {
  const register = (kind: keyof typeof callbackTypes, refused: number, body: Callback): Pointer =>
    Number(
      koffi.register(
        (...args: never[]) => {
          try {
            return inside === null ? refused : body(inside, ...args)
          } catch {
            return refused
          }
        },
        koffi.pointer(koffi.proto(callbackTypes[kind])),
      ),
    )
  const copyTo = (address: Pointer, bytes: Uint8Array) =>
    koffi.encode(BigInt(address), 'uint8_t', bytes, bytes.length)

  return {
    verify: register('verify', 0, (callee, ok: number, context: Pointer) =>
      callee.verify(ok === 1, context) ? 1 : 0,
    ),
    pskClient: register(
      'pskClient',
      0,
      (callee, ssl: Pointer, _hint, identityAt: Pointer, identitySize, keyAt: Pointer, keySize) => {
        const own = callee.handle === ssl ? callee.ownPsk() : null
        if (own === null || own.identity.length >= identitySize || own.key.length > keySize)
          return 0
        copyTo(identityAt, Buffer.concat([own.identity, Buffer.alloc(1)]))
        copyTo(keyAt, own.key)
        return own.key.length
      },
    ),
    pskServer: register(
      'pskServer',
      0,
      (callee, ssl: Pointer, identity: string | null, keyAt: Pointer, keySize) => {
        if (callee.handle !== ssl || identity === null) return 0
        const key = aside(() => callee.acceptedPsk(identity))
        if (key === null || key.length === 0 || key.length > keySize) return 0
        copyTo(keyAt, key)
        return key.length
      },
    ),
    selectAlpn: register(
      'selectAlpn',
      SSL_TLSEXT_ERR_ALERT_FATAL,
      (callee, ssl: Pointer, out: Pointer, outLength: Pointer, offered: Pointer, offeredLength) => {
        const { alpn } = callee
        if (callee.handle !== ssl || alpn === null) return SSL_TLSEXT_ERR_ALERT_FATAL
        const result = openssl().lib.SSL_select_next_proto(
          out,
          outLength,
          alpn.address,
          alpn.length,
          offered,
          offeredLength,
        )
        return result === OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL
      },
    ),
    // The cookie was verified before there was an association.
    verifyCookie: register('verifyCookie', 0, (callee, ssl: Pointer) =>
      callee.handle === ssl ? 1 : 0,
    ),
    // 0: no ticket is given, or this one is not known.
    ticketKey: register(
      'ticketKey',
      0,
      (callee, ssl: Pointer, name: Pointer, iv: Pointer, cipher, mac, encrypts: number) =>
        callee.handle === ssl && callee.ticketKey({ name, iv, cipher, mac }, encrypts === 1)
          ? 1
          : 0,
    ),
    // 0: the session stays OpenSSL's, and we keep no reference.
    newSession: register('newSession', 0, (callee, ssl: Pointer, session: Pointer) => {
      if (callee.handle === ssl) callee.newSession(session)
      return 0
    }),
    keylog: register('keylog', 0, (callee, ssl: Pointer, line: string) => {
      if (callee.handle === ssl) callee.keylog(line)
      return 0
    }),
    timer: register('timer', 1_000_000, (callee, _ssl: Pointer, previous: number) =>
      callee.nextTimeout(previous),
    ),
  }
}

// biome-ignore lint/suspicious/noExplicitAny: the arguments are what callbackTypes says.
type Callback = (callee: Callee, ...args: any[]) => number
