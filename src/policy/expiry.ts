/** Says once of each certificate of ours that it ends soon, or has ended. */
import type { X509Certificate } from 'node:crypto'
import { channel } from 'node:diagnostics_channel'
import { publishLater } from '../model/publish-later.js'

const expiring = channel('secure-socket:credentials:expiring')

const day = 24 * 60 * 60 * 1000
/** Of years, a tenth would be months: long before whoever renews it begins. */
const longestNotice = 14 * day

/** Those of which it has been said, by their digests. */
const warned = new Set<string>()
const warnedLimit = 1000

/** When it is time to say it: in the last tenth of its life, and at most 14 days before its end. */
export function noticeAt(certificate: X509Certificate): number {
  const begin = Date.parse(certificate.validFrom)
  const end = Date.parse(certificate.validTo)
  return end - Math.min((end - begin) / 10, longestNotice)
}

/**
 * @param files where it may come from
 * @param now milliseconds since 1970
 */
export function warnOfExpiry(certificate: X509Certificate, files: string, now: number): void {
  if (now < noticeAt(certificate) || warned.has(certificate.fingerprint256)) return
  warned.add(certificate.fingerprint256)
  if (warned.size > warnedLimit) warned.delete(warned.values().next().value as string)
  const end = Date.parse(certificate.validTo)
  const when = new Date(end).toISOString()
  const what = `our certificate of ${nameOf(certificate)} (serial ${certificate.serialNumber}, from ${files})`
  process.emitWarning(
    now < end
      ? `${what} expires at ${when}, in ${duration(end - now)}: put a new one into the same files, and new handshakes will use it`
      : `${what} has expired at ${when}: peers refuse it; put a new one into the same files`,
    { code: 'SECURE_SOCKET_CERTIFICATE_EXPIRES' },
  )
  if (expiring.hasSubscribers)
    publishLater(expiring, { certificate, files, expires: new Date(end) })
}

function nameOf({ subject, subjectAltName }: X509Certificate): string {
  return JSON.stringify((subject || subjectAltName || '').replaceAll('\n', ', '))
}

function duration(milliseconds: number): string {
  const hours = milliseconds / (60 * 60 * 1000)
  if (hours >= 48) return `${Math.floor(hours / 24)} days`
  if (hours >= 2) return `${Math.floor(hours)} hours`
  return `${Math.max(1, Math.floor(hours * 60))} minutes`
}
