import type { X509Certificate } from 'node:crypto'
import { printable } from '../../model/errors.js'
import { certificateIdentity } from '../../model/peer-identity.js'
import { defineCommand, EXIT_OK } from '../command.js'
import { readCertificates } from './certificate-file.js'
import { day, json, table, validity } from './output.js'

const help = `secure-socket identity show: what a certificate says

Usage:
  secure-socket identity show FILE

FILE is a certificate, PEM or DER; of several each is shown.

Options:
  --json        print a JSON array, for each certificate an object: names, authority (whether it
                can sign others), usage, subject, issuer, notBefore, notAfter, expired, key, pin
  -h, --help

Exit codes: 0 done, 1 failed, 2 the command line was wrong
An expired certificate is shown as such; it is no failure.
`

/** `secure-socket identity show FILE` */
export const show = defineCommand({
  name: 'identity show',
  help,
  options: { json: { type: 'boolean', default: false } },
  operands: ['FILE'],
  async run(values, [file = ''], { stdout }) {
    const certificates = (await readCertificates(file)).map(describe)
    stdout.write(values.json ? json(certificates) : certificates.map(readable).join('\n'))
    return EXIT_OK
  },
})

function describe(certificate: X509Certificate) {
  const { names, pin = '' } = certificateIdentity(certificate)
  const { notBefore, notAfter } = validity(certificate)
  return {
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    names,
    authority: certificate.ca,
    usage: usage(certificate),
    notBefore,
    notAfter,
    expired: Date.parse(notAfter) < Date.now(),
    key: key(certificate),
    pin,
  }
}

/** Certificates are shown before anybody trusts them: nothing in their names may act on a terminal. */
function readable(certificate: ReturnType<typeof describe>): string {
  const { subject, issuer, names, authority, usage, notBefore, notAfter, expired } = certificate
  return `${authority ? 'Authority' : 'Identity'} ${printable(subject)}\n${table([
    ['names', printable(names.join(', ')) || 'none'],
    ['usage', authority ? 'signs certificates' : usage.join(', ') || 'any'],
    ['issuer', issuer === subject ? 'itself' : printable(issuer)],
    ['valid', `${day(notBefore)} until ${day(notAfter)}${expired ? ', EXPIRED' : ''}`],
    ['key', certificate.key],
    ['pin', certificate.pin],
  ])}`
}

const PURPOSES: Record<string, string> = {
  '1.3.6.1.5.5.7.3.1': 'server',
  '1.3.6.1.5.5.7.3.2': 'client',
}

function usage({ keyUsage }: X509Certificate): string[] {
  return (keyUsage ?? []).map(oid => PURPOSES[oid] ?? oid)
}

function key({ publicKey }: X509Certificate): string {
  const { namedCurve, modulusLength } = publicKey.asymmetricKeyDetails ?? {}
  return [publicKey.asymmetricKeyType, namedCurve ?? modulusLength].filter(Boolean).join(' ')
}

/** Node gives one line for each part of a name. */
function oneLine(name: string | undefined): string {
  return (name ?? '').split('\n').join(', ')
}
