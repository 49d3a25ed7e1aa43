import t from 'tap'
import { loadKoffi } from '../../../lib/koffi.js'
import { findSymbols } from '../../../src/cli/doctor/openssl-symbols.js'
import type { Loader } from '../../../src/providers/dtls/openssl.js'

/** The libraries of this process, but for some functions. */
function without(...names: string[]): Loader {
  const koffi = loadKoffi()
  return {
    load: (...args: Parameters<Loader['load']>) => {
      const library = koffi.load(...args)
      return {
        func: (signature: string) => {
          if (names.some(name => signature.includes(` ${name}(`))) throw new Error('not there')
          return library.func(signature)
        },
      }
    },
  } as unknown as Loader
}

t.test('in a Node as it should be, nothing is missing', async t => {
  const { version, found, missing } = findSymbols(loadKoffi())
  t.match(version, /^OpenSSL [3-9]/)
  t.ok(found > 80)
  t.same(missing, [])
})

t.test('everything that is missing is named, not only the first', async t => {
  const { missing } = findSymbols(without('HMAC', 'SSL_read', 'DTLSv1_listen'))
  t.same([...missing].sort(), ['DTLSv1_listen', 'HMAC', 'SSL_read'])
})

t.test('what the library does without is not missing', async t => {
  const { missing } = findSymbols(without('SSL_CTX_set_tlsext_use_srtp', 'SSL_SESSION_get_time'))
  t.same(
    missing.filter(name => name !== 'SSL_SESSION_get_time_ex'),
    [],
  )
})

t.test('without any OpenSSL it says so', async t => {
  const nothing = {
    load: () => ({
      func: () => {
        throw new Error('not there')
      },
    }),
  }
  t.throws(() => findSymbols(nothing as unknown as Loader), { code: 'ERR_OPENSSL_UNSUPPORTED' })
})
