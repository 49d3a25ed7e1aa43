/** What an authority does beyond making identities, done by the openssl command. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { testAuthority } from '../support/identities.js'
import { run } from '../support/program.js'
import { ownDirectory } from './files.js'

/** A revocation list of the test authority with the given certificates on it; PEM. */
export async function revocationList(t: Test, ...certificates: string[]): Promise<string> {
  const { cert, key } = await testAuthority()
  // Status, end, time of revocation, serial number, file, subject: openssl's database, tab-separated.
  const index = certificates.map(each => {
    const { serialNumber } = new X509Certificate(each)
    return ['R', '330101000000Z', '250101000000Z', serialNumber, 'unknown', '/CN=x'].join('\t')
  })
  const directory = ownDirectory(t, {
    'ca.crt': cert,
    'ca.key': key,
    index: index.map(line => `${line}\n`).join(''),
    config: '[ca]\ndefault_ca=own\n[own]\ndatabase=index\ndefault_md=sha256\ndefault_crl_days=1\n',
  })
  await run(
    'openssl',
    'ca -config config -gencrl -cert ca.crt -keyfile ca.key -out crl'.split(' '),
    { cwd: directory },
  )
  return readFileSync(join(directory, 'crl'), 'utf8')
}
