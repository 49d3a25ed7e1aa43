/**
 * The peer's certificate of a TLS socket.
 *
 * Not by `getPeerX509Certificate()`: at a client it takes the certificate out of the connection (up
 * to Node 24: a second call gives the next one of the chain, or none).
 */
import { X509Certificate } from 'node:crypto'
import { TLSSocket } from 'node:tls'

/** Undefined where the peer presented none, and at a client that has resumed a session. */
export function peerCertificate(channel: TLSSocket): X509Certificate | undefined {
  const raw = channel.getPeerCertificate()?.raw
  return raw && parse(raw)
}

/** By their DER bytes: parsing one costs as much as all else that we do for a connection. */
const parsed = new Map<string, X509Certificate>()
const parsedLimit = 256

function parse(der: Buffer): X509Certificate {
  const key = der.toString('latin1')
  const known = parsed.get(key)
  if (known) return known
  const certificate = new X509Certificate(der)
  parsed.set(key, certificate)
  if (parsed.size > parsedLimit) parsed.delete(parsed.keys().next().value as string)
  return certificate
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
