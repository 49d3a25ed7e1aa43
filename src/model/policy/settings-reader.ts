/** Reads the parts of the policy that become settings of sockets. */
import { dirname, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { SocketSecurityError } from '../errors.js'
import { areOfOwnPsk, presharedKeys } from '../preshared-keys.js'
import { checkSetting, parseSettings, type SocketKind } from '../settings.js'
import type { PolicyFile } from './policy.js'
import type { PolicyProblem } from './problems.js'
import { ofProtocol } from './protocol-settings.js'
import {
  object,
  type object as objectReader,
  type Reader,
  record,
  refuse,
  text,
} from './reading.js'

type Settings = Readonly<Record<string, unknown>>

/** What an administrator sets for streams; credentials stand in `identity`, the rest is the application's. */
export const streamKeys = [
  'guaranteeEncryption',
  'allowInsecure',
  'minVersion',
  'maxVersion',
  'ciphers',
  'sigalgs',
  'ecdhCurve',
  'requestCert',
  'rejectUnauthorized',
  'handshakeTimeout',
  'pskIdentityHint',
  'keylog',
  'sharePort',
  'ipsec',
] as const

/** The same for datagrams, which are never sent in clear. */
export const datagramKeys = [
  ...streamKeys.filter(key => key !== 'allowInsecure'),
  'mtu',
  'maxSessions',
  'maxSessionsPerHost',
  'resumeAfter',
  'rekeyAfter',
  'rekeyAfterBytes',
  'fullHandshakeAfter',
  'idleTimeout',
  'maxQueuedDatagrams',
  'maxQueuedBytes',
] as const

/** Those of IPsec that are no account's name or password. */
const ipsecKeys = [
  'mainModePolicy',
  'quickModePolicy',
  'skipFilterInstantiation',
  'optionalPeerNameVerification',
  'allowFirstInboundPacketUnencrypted',
  'rawPeerName',
  'viciSocket',
  'localIdentity',
  'authentication',
  'ikeProposals',
  'espProposals',
]

const anything: Reader<unknown> = value => value

/** Settings of one kind of socket. */
export function settingsReader(kind: SocketKind, file: string): Reader<Settings> {
  const keys = kind === 'stream' ? streamKeys : datagramKeys
  const readers = Object.fromEntries(keys.map(key => [key, settingReader(kind, key, file)]))
  return object<Record<string, unknown>>(readers as Parameters<typeof objectReader>[0] as never)
}

function settingReader(kind: SocketKind, key: string, file: string): Reader<unknown> {
  if (key === 'keylog') {
    return (value, path, problems) =>
      typeof value === 'boolean' ? value : pathReader(file)(value, path, problems)
  }
  const known = object<Record<string, unknown>>(
    Object.fromEntries(ipsecKeys.map(each => [each, anything])) as never,
  )
  return (value, path, problems) => {
    const before = problems.length
    const given = key === 'ipsec' ? known(value, path, problems) : value
    if (problems.length > before) return undefined
    try {
      checkSetting(kind, key, given)
      return given
    } catch (error) {
      problems.push(problemOf(error, path.slice(0, -key.length - 1)))
      return undefined
    }
  }
}

/** What settings complain of, at the place of the policy that they stand in. */
export function problemOf(error: unknown, path: string): PolicyProblem {
  if (!(error instanceof SocketSecurityError)) throw error
  const match = /^security\.([\w.]+) (.*)$/s.exec(error.message)
  return match
    ? { path: `${path}.${match[1]}`, message: match[2] as string }
    : { path, message: `cannot be used: ${error.message}` }
}

/** Credentials, each in a file: as settings in which their URLs stand. */
export function identityReader(file: string, files: PolicyFile[]): Reader<Settings> {
  const named =
    (secret: boolean): Reader<URL> =>
    (value, path, problems) => {
      const url = pathReader(file)(value, path, problems)
      if (url !== undefined) files.push({ path, file: fileURLToPath(url), secret })
      return url
    }
  const [open, secret] = [named(false), named(true)]
  const read = object<Written>({
    cert: oneOrMore(open),
    key: oneOrMore(secret),
    pfx: oneOrMore(secret),
    passphrase: secret,
    ca: oneOrMore(open),
    crl: oneOrMore(open),
    ticketKeys: secret,
    psk: object<OwnKey>({ identity: text, key: secret }),
    acceptedPsk: record(secret),
  })
  return (value, where, problems) => {
    const written = read(value, where, problems)
    if (written === undefined) return undefined
    for (const [one, other] of [
      ['cert', 'key'],
      ['key', 'cert'],
    ] as const) {
      if (isGiven(value, one) && !isGiven(value, other))
        problems.push({
          path: `${where}.${one}`,
          message: `stands there without ${other}: give both`,
        })
    }
    const { psk, acceptedPsk, ...files } = written
    const keys = [
      ...ownKey(psk, `${where}.psk`, problems),
      ...acceptedKeys(acceptedPsk, `${where}.acceptedPsk`, problems),
    ]
    return keys.length === 0 ? { ...files } : { ...files, psk: keys }
  }
}

interface OwnKey {
  readonly identity?: string
  readonly key?: URL
}
interface Written {
  readonly cert?: URL | URL[]
  readonly key?: URL | URL[]
  readonly pfx?: URL | URL[]
  readonly passphrase?: URL
  readonly ca?: URL | URL[]
  readonly crl?: URL | URL[]
  readonly ticketKeys?: URL
  readonly psk?: OwnKey
  readonly acceptedPsk?: Record<string, URL>
}

function ownKey(psk: OwnKey | undefined, path: string, problems: PolicyProblem[]): OwnKey[] {
  if (psk === undefined) return []
  for (const member of ['identity', 'key'] as const) {
    if (psk[member] === undefined && !problems.some(each => each.path === `${path}.${member}`))
      problems.push({ path, message: `has no ${member}: give identity and key` })
  }
  if (psk.identity !== undefined)
    checkIdentity({ identity: psk.identity, key: anyKey }, `${path}.identity`, problems)
  return [psk]
}

function acceptedKeys(
  keys: Record<string, URL> | undefined,
  path: string,
  problems: PolicyProblem[],
): Record<string, URL>[] {
  if (keys === undefined) return []
  const names = Object.keys(keys)
  if (names.length === 0 && !problems.some(each => each.path.startsWith(path)))
    problems.push({ path, message: 'is empty: give at least one identity and the file of its key' })
  if (areOfOwnPsk(names)) {
    const message = 'has exactly the names identity and key: give an identity another name'
    problems.push({ path, message })
  }
  for (const name of names) checkIdentity({ [name]: anyKey }, path, problems)
  return [keys]
}

const anyKey = Buffer.alloc(16)

/** Its text, as the setting has it. */
function checkIdentity(psk: object, path: string, problems: PolicyProblem[]): void {
  try {
    presharedKeys('psk', psk)
  } catch (error) {
    const { message } = problemOf(error, path)
    problems.push({ path, message: message.replace(/^cannot be used: an identity of \S+ /, '') })
  }
}

function pathReader(file: string): Reader<URL> {
  return (value, path, problems) => {
    // Who put a key itself there must not find it in a log.
    if (typeof value !== 'string' || value === '' || /[\0\r\n]/.test(value))
      return refuse(value, path, problems, 'give the path of a file', true)
    return pathToFileURL(resolve(dirname(file), value))
  }
}

function oneOrMore<T>(reader: Reader<T>): Reader<T | T[]> {
  return (value, path, problems) => {
    if (!Array.isArray(value)) return reader(value, path, problems)
    if (value.length === 0) return refuse(value, path, problems, 'give at least one')
    const read = value.map((each, index) => reader(each, `${path}[${index}]`, problems))
    return read.filter(each => each !== undefined)
  }
}

function isGiven(value: unknown, key: string): boolean {
  return Object.hasOwn(value as object, key)
}

/** What concerns several settings at once. */
export function checkSettings(
  settings: Settings | undefined,
  kind: SocketKind,
  path: string,
  problems: PolicyProblem[],
): void {
  const { keylog: _file, ...others } = settings ?? {}
  for (const protocol of ['tls', 'ipsec'] as const) {
    const applied = ofProtocol({ ...others, protocol })
    try {
      parseSettings(applied, kind)
    } catch (error) {
      problems.push(problemOf(error, path))
    }
  }
}
