/** The command line of the netcat, and what `secure-socket run` hands on in NODE_OPTIONS. */
import { parseArgs } from 'node:util'
import { UsageError } from '../../../../src/cli/command.js'
import {
  type NetcatValues,
  netcatOptions,
  parseNetcatOptions,
} from '../../../../src/cli/netcat/options.js'
import { parseSettings } from '../../../../src/model/settings.js'
import { fillInMarks, locateFiles } from '../../../../src/policy/settings-files.js'
import { registeredOptions, registerFile } from '../../../../src/register/environment.js'
import { must, type Parser, resultOr, withCode } from '../parser.js'

/** node:util's own, which the command line tells as they are. */
const usage = (error: unknown) =>
  error instanceof UsageError || /^ERR_PARSE_ARGS/.test(String(Object(error).code))

export const commandLine: Parser = {
  name: 'command-line',
  seeds: () =>
    [
      ['443', '--cert', 'a', '--key', 'b', '--ca', 'c', '--ca', 'd'],
      ['5684', '-u', '--lines', '--psk-identity', 'me', '--psk-file', 'k', '--idle', '1.5'],
      ['1', '--peer-target-name', 'host/a.example', '--alpn', 'x', '--protocol', 'tls', '--json'],
      ['0', '--pfx', 'a', '--passphrase-file', 'p', '--timeout', '10', '--keylog', 'k', '-v'],
      ['--import=x --require "a b"', '-r secure-socket/register'],
    ].map(each => Buffer.from(each.join('\0'))),
  words: [
    ...[
      '\0',
      '--',
      '-',
      '=',
      '--psk-identity\0',
      '__proto__',
      'constructor',
      'identity,key',
      '--udp',
    ],
    ...[
      '--timeout\0',
      '1e5',
      'Infinity',
      '0x10',
      ' ',
      '"',
      '\\',
      '--require ',
      '-r ',
      '--no-',
      '\ud800',
    ],
    ...['secure-socket/register', '"secure-socket/register"', '--protocol\0ipsec', '\n', '%'],
  ],
  check(input) {
    const args = input.toString('utf8').split('\0')
    const parsed = resultOr(
      () => parseArgs({ args, options: netcatOptions, allowPositionals: true }),
      usage,
    )
    for (const role of ['client', 'server'] as const) {
      const given =
        parsed &&
        resultOr(
          () =>
            parseNetcatOptions(
              'connect',
              parsed.values as NetcatValues,
              parsed.positionals[0] ?? '',
              role,
            ),
          usage,
        )
      if (given === undefined) continue
      must(Number.isInteger(given.port) && given.port <= 65535, 'a port is one')
      must(given.timeout === undefined || given.timeout > 0, 'a time is one')
      must(given.timeout === undefined || Number.isFinite(given.timeout), 'and ends')
      const { psk } = given.security as { psk?: Record<string, unknown> }
      const identity = parsed?.values['psk-identity']
      must(
        (psk === undefined) === (identity === undefined),
        'a key is asked for where one is given',
      )
      const kind = given.udp ? 'datagram' : 'stream'
      const located = locateFiles(given.security)
      const marked = located === null ? given.security : fillInMarks(located.settings)
      const settings = resultOr(() => parseSettings(marked, kind), withCode('EINVAL', 'EOPNOTSUPP'))
      if (settings === undefined || identity === undefined) continue
      if (role === 'client') must(settings.ownPsk?.identity === identity, 'our own')
      else
        must(
          Object.keys(settings.acceptedPsk ?? {}).join('\0') === identity,
          'the one that is named',
        )
    }
    for (const options of isBuilt() ? args : []) {
      // Other white space than a space is a part of an option to Node, and of none that there is.
      const before = /[^\S ]/.test(options) ? undefined : asNodeSplits(options)
      if (before === undefined) continue
      const once = registeredOptions(options)
      must(registeredOptions(once) === once, 'options are registered once', once)
      const after = asNodeSplits(once)
      must(after?.at(-2) === '--require' && after.at(-1) === registerFile(), 'ours come last', once)
      const others = before.filter(each => !each.includes('secure-socket/register'))
      const stays = (each: string) => after.includes(each) || /^(--import|--require|-r)$/.test(each)
      must(others.every(stays), 'the options of others stay', once)
    }
  },
}

/** NODE_OPTIONS as Node takes it apart (ParseNodeOptionsEnvVar); undefined where it refuses it. */
function asNodeSplits(text: string): string[] | undefined {
  const options: string[] = []
  let isQuoted = false
  let begins = true
  for (let at = 0; at < text.length; at++) {
    let character = text[at] as string
    if (character === '\\' && isQuoted) {
      at += 1
      if (at === text.length) return undefined
      character = text[at] as string
    } else if (character === ' ' && !isQuoted) {
      begins = true
      continue
    } else if (character === '"') {
      isQuoted = !isQuoted
      continue
    }
    if (begins) options.push('')
    begins = false
    options.push(`${options.pop()}${character}`)
  }
  return isQuoted ? undefined : options
}

/** What is registered is a file of the build, which `npm test` makes before anything else. */
function isBuilt(): boolean {
  try {
    return registerFile() !== ''
  } catch {
    return false
  }
}
