/**
 * The peer's certificate of a TLS socket.
 *
 * Not by `getPeerX509Certificate()`: at a client it takes the certificate out of the connection (up
 * to Node 24: a second call gives the next one of the chain, or none).
 */
import { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'

/** Undefined where the peer presented none, and at a client that has resumed a session. */
export function peerCertificate(channel: TLSSocket): X509Certificate | undefined {
  const raw = channel.getPeerCertificate()?.raw
  return raw && new X509Certificate(raw)
}
