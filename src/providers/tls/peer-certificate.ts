/**
 * The peer's certificate of a TLS socket.
 *
 * Not by `getPeerX509Certificate()`: at a client it takes the certificate out of the connection (up
 * to Node 24: a second call gives the next one of the chain, or none).
 */
import type { X509Certificate } from 'node:crypto'
import { TLSSocket } from 'node:tls'
import { parseCertificate } from '../parse-certificate.js'

/** Undefined where the peer presented none, and at a client that has resumed a session. */
export function peerCertificate(channel: TLSSocket): X509Certificate | undefined {
  const raw = channel.getPeerCertificate()?.raw
  return raw && parseCertificate(raw)
}

const { getPeerCertificate } = TLSSocket.prototype

/**
 * Spares a client the whole chain. node:tls builds it in every handshake, only to hand it to
 * checkServerIdentity, and we look at nothing there.
 */
export function withoutChain(channel: TLSSocket): void {
  channel.getPeerCertificate = afterHandshake as typeof getPeerCertificate
}

function afterHandshake(this: TLSSocket, detailed = false): object {
  const { secureConnecting } = this as { secureConnecting?: boolean }
  return secureConnecting ? {} : getPeerCertificate.call(this, detailed)
}
