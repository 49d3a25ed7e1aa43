/** The SSL_CTX of settings, one for each role: identity, trust, versions, suites and callbacks. */
import { addressOf, type Pointer } from '../../../lib/memory.js'
import {
  DTLS1_2_VERSION,
  DTLS1_3_VERSION,
  SSL_CTRL_MODE,
  SSL_CTRL_SET_GROUPS_LIST,
  SSL_CTRL_SET_MAX_PROTO_VERSION,
  SSL_CTRL_SET_MIN_PROTO_VERSION,
  SSL_CTRL_SET_SESS_CACHE_MODE,
  SSL_CTRL_SET_SIGALGS_LIST,
  SSL_MODE_NO_AUTO_CHAIN,
  SSL_OP_NO_QUERY_MTU,
  SSL_OP_NO_RENEGOTIATION,
  SSL_OP_NO_TICKET,
  SSL_SESS_CACHE_CLIENT,
  SSL_SESS_CACHE_NO_INTERNAL,
  SSL_SESS_CACHE_OFF,
} from '../../../lib/openssl.js'
import { SocketSecurityError } from '../../model/errors.js'
import type { ParsedSettings } from '../../model/settings.js'
import { wantsDatagramKeylog } from '../keylog.js'
import { resumptionContext } from '../resumption.js'
import type { AssociationRole } from './association-options.js'
import { trustStore, useIdentity } from './certificates.js'
import { type Means, useCipherSuites } from './cipher-suites.js'
import { unusable } from './explain.js'
import { cString, immovable, leaked, openssl, type ProtocolList } from './openssl.js'

export interface DtlsContext {
  readonly handle: Pointer
  /** Our application protocols as on the wire, most wanted first; it must live as long as an association of it. */
  readonly alpn: ProtocolList | null
}

const contexts: Record<AssociationRole, WeakMap<ParsedSettings, DtlsContext>> = {
  client: new WeakMap(),
  server: new WeakMap(),
}

/**
 * The context of a role, made once for equal settings.
 * @throws SocketSecurityError EINVAL, EPROTO for settings that OpenSSL cannot use
 */
export function dtlsContext(settings: ParsedSettings, role: AssociationRole): DtlsContext {
  let context = contexts[role].get(settings)
  if (context === undefined) {
    context = createContext(settings, role)
    contexts[role].set(settings, context)
  }
  return context
}

/** X25519 alone would break certificates with other curves. */
const defaultGroups = ['X25519:P-256:P-384:P-521', 'P-256:P-384:P-521']

/** No SHA-1. */
const defaultSigalgs = [
  ...['SHA256', 'SHA384', 'SHA512'].map(hash => `ECDSA+${hash}`),
  'ed25519',
  ...['SHA256', 'SHA384', 'SHA512'].map(hash => `RSA-PSS+${hash}`),
  ...['SHA256', 'SHA384', 'SHA512'].map(hash => `RSA+${hash}`),
].join(':')

function createContext(settings: ParsedSettings, role: AssociationRole): DtlsContext {
  const { lib, callbacks } = openssl()
  const client = role === 'client'
  const handle = lib.SSL_CTX_new(client ? lib.DTLS_client_method() : lib.DTLS_server_method())
  const ctrl = (command: number, larg: number, parg: Pointer = 0) =>
    lib.SSL_CTX_ctrl(handle, command, larg, parg)
  try {
    const means = meansOf(settings, role)
    useVersions(settings, ctrl)
    // What the level asks of certificates, taken before a suite such as CCM8 lowers it for all else.
    const level = Math.max(1, lib.SSL_CTX_get_security_level(handle))
    lib.X509_VERIFY_PARAM_set_auth_level(lib.SSL_CTX_get0_param(handle), level)
    useCipherSuites(handle, settings.ciphers, means)
    useGroups(settings, ctrl)
    if (ctrl(SSL_CTRL_SET_SIGALGS_LIST, 0, cString(settings.sigalgs ?? defaultSigalgs)) !== 1)
      throw unusable('sigalgs')
    const store = trustStore(settings, means.certificates)
    try {
      lib.SSL_CTX_set1_cert_store(handle, store)
      useIdentity(handle, store, settings)
    } finally {
      lib.X509_STORE_free(store)
    }
    ctrl(SSL_CTRL_MODE, SSL_MODE_NO_AUTO_CHAIN)
    lib.SSL_CTX_set_options(
      handle,
      SSL_OP_NO_QUERY_MTU |
        SSL_OP_NO_RENEGOTIATION |
        // A ticket of a pre-shared key would outlive the key.
        (means.psk ? SSL_OP_NO_TICKET : 0),
    )
    lib.SSL_CTX_set_timeout(handle, Math.max(1, Math.floor(settings.fullHandshakeAfter / 1000)))
    const alpn = settings.alpn.length === 0 ? null : protocolList(settings.alpn)
    if (client) {
      ctrl(SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL)
      lib.SSL_CTX_sess_set_new_cb(handle, callbacks.newSession)
      if (means.psk) lib.SSL_CTX_set_psk_client_callback(handle, callbacks.pskClient)
      if (alpn) lib.SSL_CTX_set_alpn_protos(handle, alpn.address, alpn.length)
    } else {
      ctrl(SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF)
      useTickets(settings, handle)
      lib.SSL_CTX_set_cookie_verify_cb(handle, callbacks.verifyCookie)
      if (means.psk) lib.SSL_CTX_set_psk_server_callback(handle, callbacks.pskServer)
      const { pskIdentityHint: hint } = settings
      if (hint !== undefined && lib.SSL_CTX_use_psk_identity_hint(handle, hint) !== 1)
        throw unusable('pskIdentityHint')
      if (alpn) lib.SSL_CTX_set_alpn_select_cb(handle, callbacks.selectAlpn, 0)
    }
    if (settings.srtp.length > 0) offerSrtp(handle, settings.srtp)
    if (wantsDatagramKeylog(settings)) lib.SSL_CTX_set_keylog_callback(handle, callbacks.keylog)
    const context = { handle, alpn }
    leaked.register(context, () => lib.SSL_CTX_free(handle))
    return context
  } catch (error) {
    lib.SSL_CTX_free(handle)
    lib.ERR_clear_error()
    throw error
  }
}

/** By what the two ends can prove themselves. */
export function meansOf(settings: ParsedSettings, role: AssociationRole): Means {
  if (role === 'client') {
    const psk = settings.ownPsk !== undefined
    // Whoever has a key expects the server to know it, unless an authority is given as well.
    return { psk, certificates: !psk || settings.ca !== undefined }
  }
  return {
    psk: settings.acceptedPsk !== undefined,
    certificates: settings.cert !== undefined || settings.pfx !== undefined,
  }
}

type Ctrl = (command: number, larg: number, parg?: Pointer) => number

/** The lowest version is ours to say, the highest is what OpenSSL has. */
function useVersions({ minVersion, maxVersion }: ParsedSettings, ctrl: Ctrl): void {
  const { version } = openssl()
  const min = minVersion === 'DTLSv1.3' ? DTLS1_3_VERSION : DTLS1_2_VERSION
  if (ctrl(SSL_CTRL_SET_MIN_PROTO_VERSION, min) !== 1) {
    openssl().lib.ERR_clear_error()
    throw new SocketSecurityError(
      'EINVAL',
      `security.minVersion is "${minVersion}", and ${version} does not have it: leave it at "DTLSv1.2"`,
      { syscall: 'WSASetSocketSecurity' },
    )
  }
  // A version that OpenSSL does not have is none to be kept from.
  if (maxVersion === 'DTLSv1.2') ctrl(SSL_CTRL_SET_MAX_PROTO_VERSION, DTLS1_2_VERSION)
}

function useGroups({ ecdhCurve }: ParsedSettings, ctrl: Ctrl): void {
  const lists = ecdhCurve === undefined ? defaultGroups : [ecdhCurve]
  // A FIPS provider may lack X25519.
  if (!lists.some(list => ctrl(SSL_CTRL_SET_GROUPS_LIST, 0, cString(list)) === 1))
    throw unusable('ecdhCurve')
  openssl().lib.ERR_clear_error()
}

/** Without ticketKeys OpenSSL makes keys of its own, for this context. */
function useTickets(settings: ParsedSettings, handle: Pointer): void {
  const { lib, scratch, callbacks } = openssl()
  const context = resumptionContext(settings)
  scratch.bytes.set(context)
  lib.SSL_CTX_set_session_id_context(handle, scratch.address, context.length)
  if (settings.ticketKeys === undefined) return
  lib.SSL_CTX_set_tlsext_ticket_key_evp_cb(handle, callbacks.ticketKey)
}

function offerSrtp(handle: Pointer, profiles: readonly string[]): void {
  const { lib, version } = openssl()
  if (lib.srtp === null) {
    throw new SocketSecurityError(
      'EOPNOTSUPP',
      `security.srtp cannot be agreed on here: the ${version} of this Node exports no SRTP functions (Node for Windows does not); leave srtp out and agree on the profile in the application`,
      { syscall: 'WSASetSocketSecurity' },
    )
  }
  // 0 is its success.
  if (lib.srtp.SSL_CTX_set_tlsext_use_srtp(handle, profiles.join(':')) !== 0) throw unusable('srtp')
}

/** RFC 7301, section 3.1: each name after a byte of its length. */
function protocolList(protocols: readonly string[]): ProtocolList {
  const list = Buffer.concat(
    protocols.map(name => Buffer.concat([Buffer.of(Buffer.byteLength(name)), Buffer.from(name)])),
  )
  const bytes = immovable(list)
  return { bytes, address: addressOf(bytes), length: list.length }
}
