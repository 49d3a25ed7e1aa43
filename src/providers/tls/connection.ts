/** An established TLS channel: who the peer is, and what secures the bytes. */
import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { shownAsPeer, shownAsSecurity } from '../../model/at-a-glance.js'
import { SocketSecurityError } from '../../model/errors.js'
import type { PeerIdentity } from '../../model/peer-identity.js'
import { certificateIdentity } from '../../model/peer-identity.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { TargetName } from '../../model/target-name.js'
import type { Connection } from '../provider.js'
import { applicationProtocol } from './acceptance.js'
import { encrypts } from './context.js'
import { explainEstablished } from './explain.js'
import { peerCertificate } from './peer-certificate.js'

/**
 * Kept as small as can be, since every connection has one: what can be asked of the TLSSocket is
 * asked when somebody wants to know.
 */
export class TlsConnection implements Connection {
  /** Only until the channel is handed over. */
  early: Buffer | null = null
  overhead = noOverhead
  readonly secured = true
  authorized = true
  authorizationError: string | null = null
  /** The peer had to prove this name. */
  targetName: TargetName | undefined
  /** The identity of the pre-shared key that authenticated the peer. */
  pskIdentity: string | undefined
  /** The certificate of the handshake that this session comes from. */
  resumedCertificate: X509Certificate | undefined
  /** We presented a certificate, and nothing has shown yet that the server accepted it. */
  refusalPossible = false

  readonly #channel: TLSSocket
  readonly #peer: string

  constructor(channel: TLSSocket, peer: string) {
    this.#channel = channel
    this.#peer = peer
  }

  get alpnProtocol(): string | false {
    return applicationProtocol(this.#channel.alpnProtocol)
  }

  get resumed(): boolean {
    // OpenSSL calls a handshake with a pre-shared key a resumed one.
    return this.pskIdentity === undefined && this.#channel.isSessionReused()
  }

  get certificate(): X509Certificate | undefined {
    return this.resumedCertificate ?? peerCertificate(this.#channel)
  }

  query(): SecurityInfo {
    const channel = this.#channel
    const cipher = channel.getCipher()
    const { alpnProtocol } = this
    const peer = this.#identity()
    return shownAsSecurity({
      secured: true,
      encrypted: encrypts(cipher.name),
      protocol: 'tls',
      version: channel.getProtocol() ?? cipher.version,
      cipher: cipher.standardName,
      ...(alpnProtocol === false ? {} : { alpn: alpnProtocol }),
      resumed: this.resumed,
      ...(peer === undefined ? {} : { peer }),
      ...(peer?.certificate === undefined ? {} : { expires: new Date(peer.certificate.validTo) }),
    })
  }

  endError(): Error | null {
    if (!this.refusalPossible || this.#channel.bytesRead > 0) return null
    return new SocketSecurityError(
      'ERR_PEER_CLOSED_BEFORE_ACCEPTANCE',
      `${this.#peer} closed the connection after our certificate, before anything showed that it had accepted it: either it refused the certificate, or it accepted and closed`,
      { peer: this.#peer },
    )
  }

  explain(error: Error): Error {
    return explainEstablished(error, this.#peer)
  }

  #identity(): PeerIdentity | undefined {
    const { pskIdentity } = this
    if (pskIdentity !== undefined) return shownAsPeer({ names: [], pskIdentity })
    if (!this.authorized) return undefined
    const { certificate } = this
    return certificate && certificateIdentity(certificate, this.targetName)
  }
}

const noOverhead = { read: 0, written: 0 }

/** A connection that allowInsecure left clear. */
export const clearConnection: Connection = {
  early: null,
  overhead: noOverhead,
  secured: false,
  resumed: false,
  authorized: false,
  authorizationError: null,
  alpnProtocol: false,
  certificate: undefined,
  query: () =>
    shownAsSecurity({ secured: false, encrypted: false, protocol: 'none', resumed: false }),
  endError: () => null,
  explain: error => error,
}
