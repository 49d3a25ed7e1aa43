/** Certificates of peers, parsed once: parsing one costs as much as all else that we do for a connection. */
import { X509Certificate } from 'node:crypto'

const parsed = new Map<string, X509Certificate>()
const parsedLimit = 256

/** @throws where it is no certificate that Node can parse */
export function parseCertificate(der: Buffer): X509Certificate {
  const key = der.toString('latin1')
  const known = parsed.get(key)
  if (known) return known
  const certificate = new X509Certificate(der)
  parsed.set(key, certificate)
  if (parsed.size > parsedLimit) parsed.delete(parsed.keys().next().value as string)
  return certificate
}
