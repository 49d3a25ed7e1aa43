import type { LibraryHandle } from '../../../lib/koffi.js'
import { findOpenssl, type Loader } from '../../providers/dtls/openssl.js'

/** What this library calls of an OpenSSL: how much of it is there, and what is not. */
export interface OpensslSymbols {
  /** As OpenSSL names itself. */
  readonly version: string
  readonly found: number
  /** Without these there are no secured datagrams. */
  readonly missing: readonly string[]
}

/**
 * Looks for every function. Where one is missing, the library itself stops at the first; somebody
 * who is to mend it needs them all.
 * @throws SocketSecurityError ERR_OPENSSL_UNSUPPORTED where there is no OpenSSL 3
 */
export function findSymbols(loader: Loader): OpensslSymbols {
  const found = new Set<string>()
  const refused = new Set<string>()
  const recorded = (library: LibraryHandle) => ({
    func(signature: string) {
      const name = /(\w+)\(/.exec(signature)?.[1] ?? signature
      try {
        const declared = library.func(signature)
        found.add(name)
        return declared
      } catch (error) {
        refused.add(name)
        // These are asked for to find out whether they are there.
        if (probes.includes(name)) throw error
        return () => {}
      }
    },
  })
  const { version } = findOpenssl({
    load: (...args: Parameters<Loader['load']>) => recorded(loader.load(...args)),
  } as unknown as Loader)
  return {
    version,
    found: found.size,
    missing: [...refused].filter(name => !probes.includes(name)),
  }
}

/** Functions that the library does without, or has another name for. */
const probes = [
  'OpenSSL_version_num',
  'OpenSSL_version',
  'SSL_SESSION_get_time',
  'SSL_CTX_set_tlsext_use_srtp',
  'SSL_get_selected_srtp_profile',
]
