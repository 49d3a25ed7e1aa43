/**
 * Which objects of OpenSSL are alive, and which callbacks of koffi are registered; counted in two ways,
 * without a word of it in src.
 *
 * At the binding's boundary: every function of lib/openssl.ts that gives a reference or takes one away is
 * counted by the address that it is about. What is freed and was not held is a fault, told with its name.
 *
 * By OpenSSL itself: it calls a function for each SSL and each SSL_SESSION that is made or freed, whoever
 * does it and however many references there are (CRYPTO_get_ex_new_index). A process that counts must have
 * no connections of node:tls, whose objects would count too. Other kinds cannot be counted so: Node frees
 * some of its own while it collects garbage, when no JavaScript may run.
 */
import { loadKoffi } from '../../lib/koffi.js'

export type Kind =
  | 'BIO'
  | 'BIO_ADDR'
  | 'EVP_PKEY'
  | 'PKCS12'
  | 'SSL'
  | 'SSL_CTX'
  | 'SSL_SESSION'
  | 'STACK'
  | 'X509'
  | 'X509_CRL'
  | 'X509_STORE'

export interface OpensslCount {
  /** References that are ours to give back; a kind of which there is none is left out. */
  readonly held: Readonly<Partial<Record<Kind, number>>>
  /** Objects that are there at all, by OpenSSL's own count. */
  readonly alive: Readonly<Counts>
  /** How many of each there have been until now, by the same count: nothing is proved by zero of none. */
  readonly made: Readonly<Counts>
  readonly callbacks: number
  readonly faults: readonly string[]
}

type Counts = Record<(typeof counted)[number], number>

const counted = ['SSL', 'SSL_SESSION'] as const
/** CRYPTO_EX_INDEX_… (crypto.h). */
const exIndex = { SSL: 0, SSL_SESSION: 2 } as const

/** What gives a reference; 0 gives none. */
const gives: Record<string, Kind> = {
  SSL_new: 'SSL',
  SSL_CTX_new: 'SSL_CTX',
  SSL_get1_peer_certificate: 'X509',
  BIO_new: 'BIO',
  BIO_ADDR_new: 'BIO_ADDR',
  X509_STORE_new: 'X509_STORE',
  d2i_X509: 'X509',
  d2i_X509_CRL: 'X509_CRL',
  d2i_AutoPrivateKey: 'EVP_PKEY',
  d2i_PKCS12: 'PKCS12',
  d2i_SSL_SESSION: 'SSL_SESSION',
}

/** What makes one more of its first argument. */
const adds: Record<string, Kind> = { BIO_up_ref: 'BIO', X509_STORE_up_ref: 'X509_STORE' }

/** What takes one of its first argument away. */
const takes: Record<string, Kind> = {
  SSL_free: 'SSL',
  SSL_CTX_free: 'SSL_CTX',
  SSL_SESSION_free: 'SSL_SESSION',
  X509_free: 'X509',
  X509_CRL_free: 'X509_CRL',
  X509_STORE_free: 'X509_STORE',
  EVP_PKEY_free: 'EVP_PKEY',
  PKCS12_free: 'PKCS12',
  OPENSSL_sk_free: 'STACK',
}

/** Whose names look like these, and who does neither. */
const looksLikeOne = /_new$|_new_|_free$|_up_ref$|_dup$|^d2i_|_get1_|_parse$|_set_bio$/
const innocent = new Set(['SSL_CTX_sess_set_new_cb'])

// biome-ignore lint/suspicious/noExplicitAny: what a signature says, koffi knows.
type Native = (...args: any[]) => any

/**
 * Counts from now on; call it before the first socket is made, or the first association.
 * @param asks whether OpenSSL counts too; where not, its counts stay at zero
 * @returns the count of now
 */
export function countOpenssl(asks = true): () => OpensslCount {
  const koffi = loadKoffi()
  const references = new Map<string, number>()
  const faults: string[] = []
  let callbacks = 0

  const give = (kind: Kind, address: number) => {
    if (address === 0) return
    const key = `${kind} ${address}`
    references.set(key, (references.get(key) ?? 0) + 1)
  }
  const take = (kind: Kind, address: number, by: string) => {
    if (address === 0) return
    const key = `${kind} ${address}`
    const left = (references.get(key) ?? 0) - 1
    if (left < 0) faults.push(`${by} of a ${kind} that is not held`)
    else if (left === 0) references.delete(key)
    else references.set(key, left)
  }
  const pointerIn = (address: number) => Number(koffi.decode(BigInt(address), 'intptr_t'))

  const own = koffi.load(null)
  const stackNumber = own.func('int OPENSSL_sk_num(intptr_t stack)')
  const stackValue = own.func('intptr_t OPENSSL_sk_value(intptr_t stack, int index)')

  function watched(name: string, call: Native): Native {
    const [given, added, taken] = [gives[name], adds[name], takes[name]]
    if (given) {
      return (...args) => {
        const address = call(...args)
        give(given, address)
        return address
      }
    }
    if (added) {
      return address => {
        give(added, address)
        return call(address)
      }
    }
    if (taken) {
      return address => {
        take(taken, address, name)
        return call(address)
      }
    }
    if (name === 'SSL_set_bio') {
      // The SSL has them from now on, and gives them back at its own end.
      return (ssl, read, write) => {
        take('BIO', read, name)
        take('BIO', write, name)
        return call(ssl, read, write)
      }
    }
    if (name === 'PKCS12_parse') {
      return (p12, passphrase, keyAt, certificateAt, othersAt) => {
        const parsed = call(p12, passphrase, keyAt, certificateAt, othersAt)
        give('EVP_PKEY', pointerIn(keyAt))
        give('X509', pointerIn(certificateAt))
        const stack = pointerIn(othersAt)
        give('STACK', stack)
        const count = stack === 0 ? 0 : stackNumber(stack)
        for (let index = 0; index < count; index++) give('X509', stackValue(stack, index))
        return parsed
      }
    }
    if (looksLikeOne.test(name) && !innocent.has(name))
      throw new Error(`${name} is new in lib/openssl.ts: say in ${import.meta.url} what it does`)
    return call
  }

  const { load, register, unregister } = koffi
  koffi.load = ((...args: Parameters<typeof load>) => {
    const library = load(...args)
    const { func } = library
    const counting = (...signature: unknown[]) => {
      const call = (func as Native).apply(library, signature)
      const name = /(\w+)\(/.exec(String(signature[0]))?.[1] ?? ''
      // Of other libraries' functions none has such a beginning.
      return /^(SSL|BIO|X509|EVP|PKCS12|OPENSSL|d2i|i2d|DTLS)/.test(name)
        ? watched(name, call)
        : call
    }
    return Object.create(library, { func: { value: counting } })
  }) as typeof load
  koffi.register = ((...args: Parameters<typeof register>) => {
    callbacks++
    return register(...args)
  }) as typeof register
  koffi.unregister = callback => {
    callbacks--
    unregister(callback)
  }

  const alive = { SSL: 0, SSL_SESSION: 0 }
  const made = { ...alive }
  if (asks) countThemselves(own.func.bind(own), register as Native, alive, made)

  return () => {
    const held: Partial<Record<Kind, number>> = {}
    for (const [key, count] of references) {
      const kind = key.split(' ')[0] as Kind
      held[kind] = (held[kind] ?? 0) + count
    }
    return { held, alive: { ...alive }, made: { ...made }, callbacks, faults: [...faults] }
  }
}

/** Has OpenSSL say of each object that it is made, and freed. */
function countThemselves(func: Native, register: Native, alive: Counts, made: Counts): void {
  const koffi = loadKoffi()
  const ask = func(
    'int CRYPTO_get_ex_new_index(int kind, long argl, intptr_t argp, intptr_t made, intptr_t copied, intptr_t freed)',
  )
  const type = koffi.pointer(
    koffi.proto(
      'void ex_data_hook(intptr_t parent, intptr_t data, intptr_t all, int index, long argl, intptr_t argp)',
    ),
  )
  for (const kind of counted) {
    const begins = register(() => {
      alive[kind]++
      made[kind]++
    }, type)
    const ends = register(() => {
      alive[kind]--
    }, type)
    const index = ask(exIndex[kind], 0, 0, Number(begins), 0, Number(ends))
    if (index < 0) throw new Error(`OpenSSL does not count its ${kind}s`)
  }
}
