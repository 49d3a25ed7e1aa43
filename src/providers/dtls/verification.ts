/**
 * Whom a peer has proved to be: asked inside the handshake, so that a wrong peer is refused before we
 * show ourselves to it, and again after every handshake, because a resumed one asks nothing.
 */
import type { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import type { Pointer } from '../../../lib/memory.js'
import {
  SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
  SSL_VERIFY_NONE,
  SSL_VERIFY_PEER,
  X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
  X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
  X509_V_ERR_CERT_HAS_EXPIRED,
  X509_V_ERR_CERT_NOT_YET_VALID,
  X509_V_ERR_HOSTNAME_MISMATCH,
  X509_V_ERR_IP_ADDRESS_MISMATCH,
  X509_V_OK,
} from '../../../lib/openssl.js'
import { shownAsPeer } from '../../model/at-a-glance.js'
import { SocketSecurityError } from '../../model/errors.js'
import {
  certificateIdentity,
  checkCertificate,
  checkValidity,
  type PeerIdentity,
} from '../../model/peer-identity.js'
import type { TargetName } from '../../model/target-name.js'
import { parseCertificate } from '../parse-certificate.js'
import type { AssociationOptions } from './association-options.js'
import type { Suite } from './cipher-suites.js'
import { explainCertificate } from './explain.js'
import { derOf, openssl } from './openssl.js'

export class Verification {
  /** Why the peer's certificate was refused inside the handshake. */
  failure: SocketSecurityError | undefined
  /** Who the peer has proved to be; undefined where it did not have to, or could not and need not. */
  identity: PeerIdentity | undefined
  /** The session may be resumed: by certificate only. */
  resumable = false

  readonly #options: AssociationOptions
  /** What OpenSSL thinks of the chain does not decide. */
  readonly #anyChain: boolean

  constructor(options: AssociationOptions) {
    this.#options = options
    const { settings, targetName } = options
    const pinnedOnly = targetName?.kind === 'pin' && settings.ca === undefined
    const unauthorizedStranger = this.#isStranger && !settings.rejectUnauthorized
    this.#anyChain = pinnedOnly || unauthorizedStranger
  }

  /** Says to OpenSSL what to ask of the peer. */
  prepare(ssl: Pointer): void {
    const { lib, callbacks } = openssl()
    const { settings, role, targetName } = this.#options
    let mode = SSL_VERIFY_PEER
    if (role === 'server') {
      const { requestCert, rejectUnauthorized } = settings
      if (this.#isStranger && !requestCert) mode = SSL_VERIFY_NONE
      else if (!this.#isStranger || rejectUnauthorized) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT
    }
    lib.SSL_set_verify(ssl, mode, mode === SSL_VERIFY_NONE ? 0 : callbacks.verify)
    if (targetName !== undefined && !this.#anyChain) expectHost(ssl, targetName)
  }

  /** OpenSSL asks for each certificate of the chain, the peer's own last (SSL_set_verify). */
  verify(ok: boolean, storeContext: Pointer): boolean {
    const { lib } = openssl()
    const { targetName, peer } = this.#options
    const verdict = lib.X509_STORE_CTX_get_error(storeContext)
    if (!ok) {
      if (this.#anyChain) return true
      const isName =
        verdict === X509_V_ERR_HOSTNAME_MISMATCH || verdict === X509_V_ERR_IP_ADDRESS_MISMATCH
      const depth = lib.X509_STORE_CTX_get_error_depth(storeContext)
      this.failure =
        (isName ? this.#nameFailure(storeContext) : undefined) ??
        explainCertificate(verdict, depth, peer)
      return false
    }
    if (lib.X509_STORE_CTX_get_error_depth(storeContext) !== 0) return true
    if (this.#isStranger && this.#options.settings.ca === undefined && !this.#anyChain) {
      this.failure = trustsNobody(peer)
      lib.X509_STORE_CTX_set_error(storeContext, X509_V_ERR_HOSTNAME_MISMATCH)
      return false
    }
    if (targetName === undefined) return true
    this.failure = this.#nameFailure(storeContext)
    if (this.failure === undefined) return true
    lib.X509_STORE_CTX_set_error(storeContext, verdictOf(this.failure))
    return false
  }

  /**
   * Runs after every handshake, before anything is sent or delivered.
   * @param suite what it has agreed on
   * @param pskIdentity the identity whose key the handshake asked for
   * @throws SocketSecurityError where the peer has not proved what it must
   */
  judge(ssl: Pointer, suite: Suite, pskIdentity: string | undefined): void {
    const { lib } = openssl()
    const { settings, role, peer } = this.#options
    // A key that was looked up need not be the one that was used: the suite tells.
    if (suite.isPsk) {
      this.#judgePsk(pskIdentity)
      return
    }
    if (this.#isStranger && !settings.requestCert) {
      this.resumable = true
      return
    }
    const certificate = this.#certificateOf(ssl)
    if (certificate === undefined) {
      if (this.#isStranger && !settings.rejectUnauthorized) return
      throw role === 'server' ? noCertificate(peer) : notAuthenticated(peer)
    }
    const verdict = lib.SSL_get_verify_result(ssl)
    if (verdict !== X509_V_OK && !this.#anyChain) throw explainCertificate(verdict, 0, peer)
    const { targetName } = this.#options
    if (targetName !== undefined) checkName(certificate, targetName, peer)
    else if (verdict !== X509_V_OK) return
    else checkValidity(certificate, peer)
    this.identity = certificateIdentity(certificate, targetName)
    this.resumable = true
  }

  /** A resumed handshake asks for no key; ours are never resumed, so that a key that was changed counts at once. */
  #judgePsk(identity: string | undefined): void {
    const { role, targetName, targetNameSet, peer } = this.#options
    if (identity === undefined) throw notAuthenticated(peer)
    const proved =
      role === 'server' && targetNameSet && targetName !== undefined
        ? { targetName: targetName.text }
        : {}
    this.identity = shownAsPeer({ ...proved, names: [], pskIdentity: identity })
  }

  /** A peer of the server's role that nobody has given a name. */
  get #isStranger(): boolean {
    return this.#options.role === 'server' && this.#options.targetName === undefined
  }

  /** Our own check, which knows pins and URIs too and names both names. */
  #nameFailure(storeContext: Pointer): SocketSecurityError | undefined {
    const { lib } = openssl()
    const { targetName, peer } = this.#options
    if (targetName === undefined) return undefined
    const x509 = lib.X509_STORE_CTX_get_current_cert(storeContext)
    try {
      const certificate = parseCertificate(derOf(at => lib.i2d_X509(x509, at)))
      checkCertificate(certificate, targetName, peer)
    } catch (error) {
      return error instanceof SocketSecurityError ? ofPeer(error, peer) : unreadable(peer, error)
    }
    return undefined
  }

  #certificateOf(ssl: Pointer) {
    const { lib } = openssl()
    const x509 = lib.SSL_get1_peer_certificate(ssl)
    if (x509 === 0) return undefined
    const der = derOf(at => lib.i2d_X509(x509, at))
    lib.X509_free(x509)
    try {
      return parseCertificate(der)
    } catch (error) {
      throw unreadable(this.#options.peer, error)
    }
  }
}

/** OpenSSL's own check of the name, besides ours. It knows no URIs and pins. */
function expectHost(ssl: Pointer, name: TargetName): void {
  const { lib } = openssl()
  if (name.kind === 'uri' || name.kind === 'pin' || name.kind === 'raw') return
  const host = name.kind === 'ip' ? name.address : name.host
  const param = lib.SSL_get0_param(ssl)
  lib.SSL_set_hostflags(
    ssl,
    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
  )
  const set =
    isIP(host) === 0 ? lib.SSL_set1_host(ssl, host) : lib.X509_VERIFY_PARAM_set1_ip_asc(param, host)
  if (set !== 1) {
    throw new SocketSecurityError('EINVAL', `OpenSSL cannot check the target name ${name.text}`)
  }
}

/** One socket has many peers: the message says which. */
function ofPeer(error: SocketSecurityError, peer: string): SocketSecurityError {
  const message = error.message.replace(/^the peer is not /, `${peer} is not `)
  return new SocketSecurityError(error.code, message, { peer, cause: error.cause })
}

function checkName(certificate: X509Certificate, targetName: TargetName, peer: string): void {
  try {
    checkCertificate(certificate, targetName, peer)
  } catch (error) {
    throw ofPeer(error as SocketSecurityError, peer)
  }
}

/** The verdict that makes OpenSSL send the alert which fits. */
function verdictOf({ code }: SocketSecurityError): number {
  if (code === 'CERT_HAS_EXPIRED') return X509_V_ERR_CERT_HAS_EXPIRED
  if (code === 'CERT_NOT_YET_VALID') return X509_V_ERR_CERT_NOT_YET_VALID
  return X509_V_ERR_HOSTNAME_MISMATCH
}

function notAuthenticated(peer: string): SocketSecurityError {
  return new SocketSecurityError('ERR_PEER_NOT_AUTHENTICATED', `${peer} presented no certificate`, {
    peer,
  })
}

function noCertificate(peer: string): SocketSecurityError {
  return new SocketSecurityError(
    'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE',
    `${peer}: no client certificate; give cert and key at the client, or set requestCert: false at the server`,
    { peer },
  )
}

function trustsNobody(peer: string): SocketSecurityError {
  return new SocketSecurityError(
    'ERR_PEER_NOT_AUTHENTICATED',
    `${peer} presented a certificate, and security.ca is missing: only pre-shared keys are accepted`,
    { peer },
  )
}

function unreadable(peer: string, cause: unknown): SocketSecurityError {
  return new SocketSecurityError(
    'ERR_PEER_NOT_AUTHENTICATED',
    `${peer}: its certificate cannot be read`,
    { peer, cause },
  )
}
