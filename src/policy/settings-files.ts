/** Where settings name files in the place of credentials, and what is to be read from each. */
import { createHash, randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { SocketSecurityError, show } from '../model/errors.js'
import { copy, isView } from '../model/setting-values.js'
import type { AnySettings } from '../model/settings.js'
import { ticketKeysInFile } from '../model/ticket-keys.js'

/** A file that stands for a credential. */
export class CredentialFile {
  constructor(
    /** Where it stands, for messages: `security.cert`. */
    readonly setting: string,
    readonly path: string,
    readonly form: Form,
    /** Whoever reads it can act as us. */
    readonly secret: boolean,
  ) {}
}

/** What is in a file: the value itself, one line of text, a key in hexadecimal, or ticket keys. */
type Form = 'bytes' | 'line' | 'hex' | 'ticket keys'

/**
 * The settings with a CredentialFile for each `file:` URL, and a copy of every other credential;
 * null where there is no such URL.
 * @throws SocketSecurityError EINVAL for a URL of something else
 */
export function locateFiles(
  settings: AnySettings | null | undefined,
): { readonly settings: object; readonly files: readonly CredentialFile[] } | null {
  const files: CredentialFile[] = []
  const located = mapCredentials(settings, (value, setting, form, secret) => {
    if (isView(value)) return copy(value)
    if (!isUrl(value)) return value
    const file = new CredentialFile(`security.${setting}`, pathOf(value, setting), form, secret)
    files.push(file)
    return file
  })
  return files.length === 0 ? null : { settings: located, files }
}

/**
 * The settings with what is in the files.
 * @throws SocketSecurityError EINVAL for a key that is not in hexadecimal
 */
export function fillIn(located: object, contents: ReadonlyMap<string, Buffer>): AnySettings {
  return mapCredentials(located, value =>
    value instanceof CredentialFile ? decoded(value, contents.get(value.path) as Buffer) : value,
  )
}

/**
 * The settings with a mark of each file instead of its contents. They can be parsed, so that all that
 * is wrong with the others is told before anything is read; and they are equal for equal files.
 */
export function fillInMarks(located: object): AnySettings {
  return mapCredentials(located, value => {
    if (!(value instanceof CredentialFile)) return value
    const mark = `${nonce} ${value.path}`
    if (value.form === 'line') return mark
    // As long as a ticket key must be.
    const isTicket = value.form === 'ticket keys'
    return isTicket ? createHash('sha384').update(mark).digest() : Buffer.from(mark)
  })
}

/** Nobody's credential is a mark. */
const nonce = randomBytes(16).toString('hex')

type Replace = (value: unknown, setting: string, form: Form, secret: boolean) => unknown

/** A copy of the settings, with every credential replaced. What has another shape is left to the parser. */
function mapCredentials(settings: object | null | undefined, replace: Replace): AnySettings {
  // Without a prototype: what somebody puts on Object.prototype is no setting.
  const mapped: Record<string, unknown> = Object.assign(Object.create(null), settings)
  for (const [key, map] of Object.entries(credentials)) {
    if (mapped[key] !== undefined) mapped[key] = map(mapped[key], key, replace)
  }
  return mapped
}

type Mapping = (value: unknown, key: string, replace: Replace) => unknown

const credentials: Record<string, Mapping> = {
  cert: oneOrMore((value, key, replace) => replace(value, key, 'bytes', false)),
  key: oneOrMore(withPassphrase('pem')),
  pfx: oneOrMore(withPassphrase('buf')),
  passphrase: (value, key, replace) => replace(value, key, 'line', true),
  ca: oneOrMore((value, key, replace) => replace(value, key, 'bytes', false)),
  crl: oneOrMore((value, key, replace) => replace(value, key, 'bytes', false)),
  ticketKeys: oneOrMore((value, key, replace) => replace(value, key, 'ticket keys', true)),
  psk: oneOrMore(presharedKeys),
}

function oneOrMore(map: Mapping): Mapping {
  return (value, key, replace) =>
    Array.isArray(value) ? value.map(each => map(each, key, replace)) : map(value, key, replace)
}

function withPassphrase(field: 'pem' | 'buf'): Mapping {
  return (value, key, replace) => {
    if (!isPlain(value)) return replace(value, key, 'bytes', true)
    const own: Record<string, unknown> = Object.assign(Object.create(null), value)
    const { [field]: content, passphrase, ...others } = own
    return {
      ...others,
      ...(content === undefined
        ? {}
        : { [field]: replace(content, `${key}.${field}`, 'bytes', true) }),
      ...(passphrase === undefined
        ? {}
        : { passphrase: replace(passphrase, `${key}.passphrase`, 'line', true) }),
    }
  }
}

/** Our own `{identity, key}`, or what we accept, by identity: a text where it is our own is no file. */
function presharedKeys(value: unknown, key: string, replace: Replace): unknown {
  if (!isPlain(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name,
      replace(each, `${key}[${show(name)}]`, 'hex', true),
    ]),
  )
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || isView(value)) return false
  return !isUrl(value) && !(value instanceof CredentialFile)
}

/** By its shape: a test runner may have another global URL than we. */
function isUrl(value: unknown): value is URL {
  if (value instanceof URL) return true
  if (typeof value !== 'object' || value === null || isView(value)) return false
  const { href, protocol } = value as Partial<URL>
  return typeof href === 'string' && typeof protocol === 'string'
}

function pathOf(url: URL, setting: string): string {
  try {
    return fileURLToPath(url.href)
  } catch (cause) {
    // What is behind the scheme can be the secret itself (data:), or a password.
    const given = url.protocol === 'file:' ? show(url.href) : `a URL of ${show(url.protocol)}`
    throw new SocketSecurityError(
      'EINVAL',
      `security.${setting} is ${given}: give the file: URL of a file here (pathToFileURL of node:url makes one of a path)`,
      { syscall: 'WSASetSocketSecurity', cause },
    )
  }
}

function decoded(
  { setting, path, form }: CredentialFile,
  contents: Buffer,
): Buffer | string | Buffer[] {
  if (form === 'bytes') return contents
  if (form === 'ticket keys') return ticketKeysInFile(contents)
  if (form === 'line') return contents.toString('utf8').replace(/\r?\n$/, '')
  const text = contents.toString('latin1').replaceAll(/\s/g, '')
  if (/^([0-9a-f]{2})+$/i.test(text)) return Buffer.from(text, 'hex')
  throw new SocketSecurityError(
    'EINVAL',
    `${setting} in ${path} is no key in hexadecimal: write one with openssl rand -hex 32`,
    { syscall: 'WSASetSocketSecurity' },
  )
}
