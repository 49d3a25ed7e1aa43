import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { DatagramSecuritySettings, SecuritySettings } from '../../model/settings.js'
import { parseTargetName, type TargetName } from '../../model/target-name.js'
import { checkUsage, UsageError } from '../command.js'

/** The options that connect and listen share. */
export const netcatOptions = {
  udp: { type: 'boolean', short: 'u', default: false },
  lines: { type: 'boolean', default: false },
  cert: { type: 'string' },
  key: { type: 'string' },
  pfx: { type: 'string' },
  'passphrase-file': { type: 'string' },
  ca: { type: 'string', multiple: true },
  crl: { type: 'string', multiple: true },
  'psk-identity': { type: 'string' },
  'psk-file': { type: 'string' },
  'peer-target-name': { type: 'string' },
  alpn: { type: 'string', multiple: true },
  protocol: { type: 'string' },
  keylog: { type: 'string' },
  timeout: { type: 'string' },
  idle: { type: 'string' },
  json: { type: 'boolean', default: false },
  verbose: { type: 'boolean', short: 'v', default: false },
} as const

/** What is typed for them. */
export interface NetcatValues {
  readonly udp: boolean
  readonly lines: boolean
  readonly cert?: string | undefined
  readonly key?: string | undefined
  readonly pfx?: string | undefined
  readonly 'passphrase-file'?: string | undefined
  readonly ca?: string[] | undefined
  readonly crl?: string[] | undefined
  readonly 'psk-identity'?: string | undefined
  readonly 'psk-file'?: string | undefined
  readonly 'peer-target-name'?: string | undefined
  readonly alpn?: string[] | undefined
  readonly protocol?: string | undefined
  readonly keylog?: string | undefined
  readonly timeout?: string | undefined
  readonly idle?: string | undefined
  readonly json: boolean
  readonly verbose: boolean
  /** Of a server. */
  readonly 'request-cert'?: boolean | undefined
}

export type GivenSettings = SecuritySettings & DatagramSecuritySettings

/** What they mean. */
export interface NetcatOptions {
  readonly udp: boolean
  /** A line is a datagram; else what was read at once is. */
  readonly lines: boolean
  readonly port: number
  /** What was asked for; the administrator's policy says the rest. */
  readonly security: GivenSettings
  readonly peerTargetName: string | undefined
  /** milliseconds */
  readonly timeout: number | undefined
  readonly idle: number | undefined
}

/** The help of these options, which both commands print. */
export const netcatHelp = `\
Who we are and whom we trust; what is not given comes from the administrator's policy:
  --cert FILE, --key FILE       our certificate, with those between it and the authority; its key
  --pfx FILE                    both in one file, PKCS#12
  --passphrase-file FILE        the passphrase of the key or of the PKCS#12 file
  --ca FILE                     whom we trust; may be given several times
  --crl FILE                    a list of revoked certificates; may be given several times
  --psk-identity NAME           a pre-shared key in the place of certificates: its name,
  --psk-file FILE                 and the file with the key, as hexadecimal text
  --alpn PROTOCOL               what is spoken on top; may be given several times, most wanted first
  --protocol P                  default, tls or ipsec
  --keylog FILE                 dangerous: append the session's secrets to FILE, for Wireshark

How it is spoken:
  -u, --udp                     datagrams. What is read at once is one datagram, of at most 16384
                                bytes (more are cut); what comes is written as it is
  --lines                       with --udp: each line is one datagram, without its line end, and
                                each datagram that comes is written as a line; empty lines are left
                                out
`

/** @throws UsageError */
export function parseNetcatOptions(
  command: string,
  values: NetcatValues,
  port: string,
  role: 'client' | 'server',
): NetcatOptions {
  const fail = (message: string) => new UsageError(command, message)
  if (values.lines && !values.udp) throw fail('--lines is for --udp: a stream has no lines')
  const both = (one: 'cert' | 'psk-identity', other: 'key' | 'psk-file') => {
    if ((values[one] === undefined) !== (values[other] === undefined))
      throw fail(`--${one} and --${other} belong together`)
  }
  both('cert', 'key')
  both('psk-identity', 'psk-file')
  const peerTargetName = values['peer-target-name']
  if (peerTargetName !== undefined) checkUsage(command, () => parseTargetName(peerTargetName))
  return {
    udp: values.udp,
    lines: values.lines,
    port: parsePort(command, port, role === 'server' ? 0 : 1),
    security: settings(values, role),
    peerTargetName,
    timeout: seconds(command, 'timeout', values.timeout),
    idle: seconds(command, 'idle', values.idle),
  }
}

/** Whom a client must prove to be, where a server asks for a name. */
export function expectedName({ peerTargetName }: NetcatOptions): TargetName | undefined {
  return peerTargetName === undefined ? undefined : parseTargetName(peerTargetName)
}

/** Only what was given, so that the policy fills in the rest. */
function settings(values: NetcatValues, role: 'client' | 'server'): GivenSettings {
  const given: Record<string, unknown> = {
    cert: file(values.cert),
    key: file(values.key),
    pfx: file(values.pfx),
    passphrase: file(values['passphrase-file']),
    ca: values.ca?.map(file),
    crl: values.crl?.map(file),
    psk: psk(values, role),
    alpn: values.alpn,
    protocol: values.protocol,
    keylog: file(values.keylog),
    // Who says whom a server is to trust, or who may come, wants to know who comes.
    requestCert:
      role === 'server' &&
      (values['request-cert'] ||
        values.ca !== undefined ||
        values['peer-target-name'] !== undefined)
        ? true
        : undefined,
  }
  const set = Object.entries(given).filter(([, value]) => value !== undefined)
  return Object.fromEntries(set) as GivenSettings
}

/** By URL: so the library reads it, and again when it has changed. */
function file(path: string | undefined): URL | undefined {
  return path === undefined ? undefined : pathToFileURL(resolve(path))
}

function psk(values: NetcatValues, role: 'client' | 'server'): unknown {
  const identity = values['psk-identity']
  if (identity === undefined) return undefined
  const key = file(values['psk-file'])
  return role === 'client' ? { identity, key } : { [identity]: key }
}

function parsePort(command: string, text: string, least: number): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (port >= least && port <= 65535) return port
  throw new UsageError(command, `PORT is "${text}": give a number from ${least} to 65535`)
}

function seconds(command: string, option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (value > 0 && value <= 2_000_000) return value * 1000
  throw new UsageError(command, `--${option} is "${text}": give a number of seconds above 0`)
}
