/** Certificates that no honest authority would make, which createIdentity() therefore refuses to make. */
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CertifiedName } from '../../src/identity/certified-name.js'
import { makeCertificate } from '../../src/identity/x509.js'
import { run } from '../support/program.js'

const HOUR_MS = 60 * 60 * 1000
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })

/** A self-signed certificate with exactly these alternative names, whatever they are. */
export function certificateWith(
  names: readonly CertifiedName[],
  { commonName = 'unrelated', from = -HOUR_MS, to = HOUR_MS } = {},
): Promise<X509Certificate> {
  const now = Date.now()
  const validity = { notBefore: new Date(now + from), notAfter: new Date(now + to) }
  return makeCertificate({ role: 'both', commonName, names, validity }, publicKey, { privateKey })
}

/** The same by a foreign hand: OpenSSL's `req`, with the given section of its configuration. */
export async function opensslCertificate(
  openssl: string,
  { commonName = 'unrelated', alternativeNames = '' },
): Promise<X509Certificate> {
  const directory = await mkdtemp(join(tmpdir(), 'secure-socket-'))
  try {
    const config = join(directory, 'openssl.cnf')
    const certificate = join(directory, 'certificate.pem')
    await writeFile(
      config,
      `[req]
distinguished_name = subject
prompt = no
x509_extensions = extensions
[subject]
CN = ${commonName}
[extensions]
basicConstraints = CA:FALSE
${alternativeNames === '' ? '' : 'subjectAltName = @names'}
[names]
${alternativeNames}
[directory]
O = an organisation
CN = db.example.com
`,
    )
    await run(openssl, [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-config', config, '-keyout', join(directory, 'key.pem'), '-out', certificate],
    ])
    return new X509Certificate(await readFile(certificate))
  } finally {
    await rm(directory, { recursive: true })
  }
}
