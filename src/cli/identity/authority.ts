import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { AUTHORITY_FILE, createAuthority } from '../../identity/authority.js'
import { parseCommonName } from '../../identity/options.js'
import { checkUsage, defineCommand, EXIT_OK } from '../command.js'
import { certificateOptions, parseCertificateOptions } from './options.js'
import { day, json, table, validity } from './output.js'

const name = 'identity authority'

const help = `secure-socket identity authority: make a certificate authority

Writes authority.crt, which every peer trusts, and authority.key, which signs identities.
Who has the key can pretend to be anybody: keep it off the hosts that only use identities.

Usage:
  secure-socket identity authority [options]

Options:
  --dir DIR        where to write; made if it is not there (default: this directory)
  --name NAME      the authority's name, for people to read (default: secure-socket authority)
  --days N         how long it is valid (default: 3650)
  --algorithm A    ecdsa-p256 (default), ecdsa-p384, ed25519, rsa-2048, rsa-3072 or rsa-4096
  --json           print one JSON object: cert and key (the files), pin, notBefore, notAfter
  -h, --help

Nothing is overwritten. The key's file can be read by its owner alone (mode 0600; on Windows, by
whoever may read its folder).
Exit codes: 0 done, 1 failed, 2 the command line was wrong
`

/** `secure-socket identity authority` */
export const authority = defineCommand({
  name,
  help,
  options: { ...certificateOptions, name: { type: 'string', default: 'secure-socket authority' } },
  async run(values, _operands, { stdout }) {
    const options = checkUsage(name, () => ({
      ...parseCertificateOptions(values),
      name: parseCommonName('name', values.name),
    }))
    const { cert, pin } = await createAuthority(options)
    const { notBefore, notAfter } = validity(new X509Certificate(cert))
    const file = join(options.directory, AUTHORITY_FILE)
    const files = { cert: `${file}.crt`, key: `${file}.key` }
    if (values.json) {
      stdout.write(json({ ...files, pin, notBefore, notAfter }))
      return EXIT_OK
    }
    stdout.write(`Made the authority "${options.name}"\n`)
    stdout.write(
      table([
        ['certificate', `${files.cert}  (every peer needs it, as ca)`],
        ['key', `${files.key}  (secret: it signs identities)`],
        ['valid until', day(notAfter)],
        ['pin', pin],
      ]),
    )
    return EXIT_OK
  },
})
