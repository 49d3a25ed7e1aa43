/**
 * What a tls.TLSSocket tells about its connection, by the same names: so that frameworks which ask a
 * request's socket whether it is encrypted, and by whom, find what they look for.
 */
import type { X509Certificate } from 'node:crypto'
import type {
  CipherNameAndProtocol,
  DetailedPeerCertificate,
  EphemeralKeyInfo,
  PeerCertificate,
  TLSSocket,
} from 'node:tls'
import { SocketSecurityError } from '../model/errors.js'
import { net } from './net-internals.js'
import { stateOf } from './stream-state.js'

export class TlsReadingSide extends net.Socket {
  /** True once the bytes are protected by TLS. */
  get encrypted(): boolean {
    return tlsChannel(this) !== null
  }

  /** The peer has proved its identity. */
  get authorized(): boolean {
    return stateOf(this).connection?.authorized ?? false
  }

  /** Why the peer is not authorized, where it is let in all the same. */
  get authorizationError(): string | null {
    return stateOf(this).connection?.authorizationError ?? null
  }

  /** The application protocol agreed on by ALPN; false for none, null before the handshake. */
  get alpnProtocol(): string | false | null {
    return stateOf(this).connection?.alpnProtocol ?? null
  }

  /** The name that the client sent as SNI; false for none. */
  get servername(): string | false | null {
    const channel = tlsChannel(this) as { servername?: string | false } | null
    return channel?.servername ?? null
  }

  getProtocol(): string | null {
    return tlsChannel(this)?.getProtocol() ?? null
  }

  getCipher(): CipherNameAndProtocol | undefined {
    return tlsChannel(this)?.getCipher()
  }

  getPeerCertificate(detailed: true): DetailedPeerCertificate | null
  getPeerCertificate(detailed?: boolean): PeerCertificate | null
  getPeerCertificate(detailed = false): PeerCertificate | null {
    const certificate = tlsChannel(this)?.getPeerCertificate(detailed) ?? null
    if (certificate === null || certificate.raw) return certificate
    // At a client that has resumed a session Node knows of no certificate; we do.
    const known = stateOf(this).connection?.certificate
    return (known?.toLegacyObject() as PeerCertificate | undefined) ?? certificate
  }

  getPeerX509Certificate(): X509Certificate | undefined {
    return tlsChannel(this) ? stateOf(this).connection?.certificate : undefined
  }

  getCertificate(): PeerCertificate | object | null {
    return tlsChannel(this)?.getCertificate() ?? null
  }

  getX509Certificate(): X509Certificate | undefined {
    return tlsChannel(this)?.getX509Certificate()
  }

  getEphemeralKeyInfo(): EphemeralKeyInfo | object | null {
    return tlsChannel(this)?.getEphemeralKeyInfo() ?? null
  }

  getSharedSigalgs(): string[] {
    return tlsChannel(this)?.getSharedSigalgs() ?? []
  }

  getFinished(): Buffer | undefined {
    return tlsChannel(this)?.getFinished()
  }

  getPeerFinished(): Buffer | undefined {
    return tlsChannel(this)?.getPeerFinished()
  }

  isSessionReused(): boolean {
    return tlsChannel(this)?.isSessionReused() ?? false
  }

  /**
   * Keying material bound to this connection (RFC 5705, RFC 8446 section 7.5).
   * @throws SocketSecurityError ENOTCONN
   */
  exportKeyingMaterial(length: number, label: string, context?: Buffer): Buffer {
    const channel = tlsChannel(this)
    if (!channel) {
      throw new SocketSecurityError('ENOTCONN', "there are no keys yet: wait for 'connect'")
    }
    return channel.exportKeyingMaterial(length, label, context as Buffer)
  }

  setMaxSendFragment(size: number): boolean {
    const channel = tlsChannel(this)
    return channel !== null && !channel.destroyed && channel.setMaxSendFragment(size)
  }
}

/** The channel, where it is established and TLS. */
function tlsChannel(socket: object): TLSSocket | null {
  const { channel, established } = stateOf(socket)
  return established && channel && 'getCipher' in channel ? (channel as TLSSocket) : null
}
