import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { AUTHORITY_FILE } from '../../identity/authority.js'
import { parseCertifiedNames } from '../../identity/certified-name.js'
import { parseBasename } from '../../identity/files.js'
import { createIdentity, defaultFile } from '../../identity/identity.js'
import { parseUsage } from '../../identity/options.js'
import { checkUsage, defineCommand, EXIT_OK, UsageError } from '../command.js'
import { readNamed } from './certificate-file.js'
import { certificateOptions, parseCertificateOptions } from './options.js'
import { day, json, table, validity } from './output.js'

const name = 'identity create'

const help = `secure-socket identity create: make an identity, signed by an authority

Usage:
  secure-socket identity create --name NAME [--name NAME …] [options]

Names, as peers give them in peerTargetName:
  db.example.com                a host name
  host/db.example.com:5000      a service principal name; its host is what is certified
  10.0.0.5, 2001:db8::1         an address
  spiffe://example.com/db       any URI
  *.example.com                 every host directly below example.com

Options:
  --name NAME        whom the identity proves to be; may be given several times
  --authority DIR    where authority.crt and authority.key are (default: this directory)
  --self-signed      no authority: peers know the identity by its pin
  --dir DIR          where to write; made if it is not there (default: this directory)
  --file NAME        writes NAME.crt and NAME.key (default: called after the first name)
  --days N           how long it is valid (default: 397, or until the authority ends)
  --usage U          server, client or both (default: both)
  --algorithm A      ecdsa-p256 (default), ecdsa-p384, ed25519, rsa-2048, rsa-3072 or rsa-4096
  --json             print one JSON object: cert, key and ca (the files), names, pin,
                     notBefore, notAfter
  -h, --help

Nothing is overwritten. The key's file can be read by its owner alone (mode 0600; on Windows, by
whoever may read its folder).
Exit codes: 0 done, 1 failed, 2 the command line was wrong
`

/** `secure-socket identity create` */
export const create = defineCommand({
  name,
  help,
  options: {
    ...certificateOptions,
    name: { type: 'string', multiple: true },
    authority: { type: 'string' },
    'self-signed': { type: 'boolean', default: false },
    file: { type: 'string' },
    usage: { type: 'string' },
  },
  async run(values, _operands, { stdout }) {
    if (values.name === undefined) throw new UsageError(name, '--name is missing')
    if (values['self-signed'] && values.authority !== undefined) {
      throw new UsageError(name, 'give --authority or --self-signed, not both')
    }
    const names = values.name
    const options = checkUsage(name, () => ({
      ...parseCertificateOptions(values),
      names,
      usage: parseUsage(values.usage),
      file: parseBasename('file', values.file ?? defaultFile(parseCertifiedNames(names)[0])),
    }))
    const authority = values['self-signed'] ? undefined : await readAuthority(values.authority)
    const { cert, pin } = await createIdentity({ ...options, authority: authority?.pem })

    const { notBefore, notAfter } = validity(new X509Certificate(cert))
    const file = join(options.directory, options.file)
    const files = { cert: `${file}.crt`, key: `${file}.key`, ca: authority?.file ?? `${file}.crt` }
    if (values.json) {
      stdout.write(json({ ...files, names, pin, notBefore, notAfter }))
      return EXIT_OK
    }
    stdout.write(`Made an identity for ${names.join(', ')}\n`)
    stdout.write(
      table([
        ['certificate', files.cert],
        ['key', `${files.key}  (secret)`],
        ['valid until', day(notAfter)],
        ['pin', pin],
      ]),
    )
    stdout.write(authority ? settings(files) : pinned(files, pin))
    return EXIT_OK
  },
})

/** What to write into a program that is this identity. */
function settings({ cert, key, ca }: { cert: string; key: string; ca: string }): string {
  return `
In its program:
  security: {
    cert: readFileSync(${quoted(cert)}),
    key: readFileSync(${quoted(key)}),
    ca: readFileSync(${quoted(ca)}),
  }
`
}

function pinned({ cert, key }: { cert: string; key: string }, pin: string): string {
  return `
In its program:
  security: {
    cert: readFileSync(${quoted(cert)}),
    key: readFileSync(${quoted(key)}),
  }
In the programs of its peers:
  peerTargetName: ${quoted(pin)}
`
}

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`
}

async function readAuthority(directory: string | undefined) {
  const base = join(directory ?? '.', AUTHORITY_FILE)
  try {
    // One after the other, so that of two missing files the same one is named each time.
    const cert = await readNamed(`${base}.crt`)
    const key = await readNamed(`${base}.key`)
    return { file: `${base}.crt`, pem: { cert, key } }
  } catch (cause) {
    const remedy =
      'make one with "secure-socket identity authority", or give --authority DIR or --self-signed'
    throw new Error(`no authority: ${(cause as Error).message}; ${remedy}`, { cause })
  }
}
