/**
 * The documents say what the code does: whoever adds a setting, a code, a method or a command, or
 * moves a file, is told here which document is behind.
 */
import dgram from 'node:dgram'
import { existsSync } from 'node:fs'
import { Server, Socket } from 'node:net'
import { dirname, join, normalize } from 'node:path'
import { transform } from 'esbuild'
import t from 'tap'
import * as index from '../../src/index.js'
import { parseSettings, type SocketKind } from '../../src/model/settings.js'
import * as promises from '../../src/promises.js'
import { typed } from '../support/command-line.js'
import { failure } from '../support/events.js'
import { root } from '../support/project-root.js'
import { anchors, blocks, code, documents, links, prose, read, rows, section } from './markdown.js'

const api = read('docs/api.md')
const { SecureDgramSocket, SecureServer, SecureSocket, SocketSecurityError } = index

t.test('every error code is in the list, with its name in Winsock', async t => {
  const errors = read('src/model/errors.ts')
  for (const [type, heading] of [
    ['OwnErrorCode', 'Codes of this library'],
    ['CertificateErrorCode', 'Codes of certificates'],
  ] as const) {
    const union = new RegExp(`type ${type} =\\n((?: *\\| '.*'\\n)+)`).exec(errors)?.[1] ?? ''
    const documented = rows(section(api, heading))
    t.same(documented.map(([cell]) => code(cell)).sort(), quoted(union), heading)
  }
  for (const [cell, winsock = ''] of rows(section(api, 'Codes of this library'))) {
    const error = new SocketSecurityError(code(cell) as index.OwnErrorCode, '')
    t.equal(winsock, error.winsock ?? '', code(cell))
  }
  const explained = read('src/providers/explain-openssl.ts').match(/^ {2}ERR_SSL_\w+/gm) ?? []
  const documented = rows(section(api, 'Codes of TLS')).map(([cell]) => code(cell))
  t.same(documented.sort(), explained.map(each => each.trim()).sort(), 'Codes of TLS')
})

t.test('every setting is in a table, with its default', async t => {
  const [shared = ''] = section(api, 'Settings').split(/^### /m)
  const ofDatagrams = rows(section(api, 'Settings of datagram sockets'))
  const own = ofDatagrams.filter(row => row.length === 4)
  const names = (table: string[][]) => table.map(([cell]) => code(cell))
  t.same(names(rows(shared)).sort(), settingsOf('stream'))
  t.same([...names(rows(shared)), ...names(own)].sort(), settingsOf('datagram'))
  hasDefaults(rows(shared), { ...parseSettings({}) })
  hasDefaults(own, { ...parseSettings({}, 'datagram') })

  const differing = ofDatagrams.filter(row => row.length === 2)
  for (const [cell = '', text = ''] of differing) {
    for (const [, key = ''] of cell.matchAll(/`(\w+)`/g))
      t.ok(names(rows(shared)).includes(key), `${key} is a setting of streams too`)
    if (cell.includes('requestCert'))
      t.equal(code(text), String(parseSettings({}, 'datagram').requestCert))
  }

  function hasDefaults(table: string[][], defaults: Record<string, unknown>) {
    for (const [cell = '', , text] of table) {
      const value = defaults[code(cell)]
      if (typeof value === 'boolean' || typeof value === 'number')
        t.equal(code(text), String(value), cell)
      if (typeof value === 'string' && code(cell) !== 'protocol')
        t.equal(code(text), `'${value}'`, cell)
    }
  }
})

t.test('every option of an identity is in the table, with whose it is', async t => {
  const documented = rows(section(api, 'Identities'))
  const of = (whose: string) =>
    documented.filter(([, each]) => each === whose || each === 'both').map(([cell]) => code(cell))
  const unknown = { x: 1 } as never
  t.same(of('authority').sort(), optionsIn(await failure(index.createAuthority(unknown))))
  t.same(of('identity').sort(), optionsIn(await failure(index.createIdentity(unknown))))
})

t.test('every export, and every member beyond those of Node, is named', async t => {
  const faces = section(api, 'Faces')
  for (const name of [...Object.keys(index), ...Object.keys(promises), 'createSocket', 'Socket'])
    t.match(faces, `\`${name}\``)
  for (const [name] of Object.entries(typesOf(read('src/index.ts')))) t.match(faces, `\`${name}\``)
  for (const [ours, base] of [
    [SecureSocket.prototype, Socket.prototype],
    [SecureServer.prototype, Server.prototype],
    [SecureDgramSocket.prototype, dgram.Socket.prototype],
  ]) {
    for (const name of membersBeyond(ours as object, base as object))
      t.match(api, new RegExp(`\`${name}[\`(]|, ${name}\\(`), name)
  }
})

t.test('every command of the documents is there, with its options', async t => {
  for (const path of documents) {
    const commands = read(path).matchAll(
      /secure-socket (identity(?: (?!\.)[a-z]+)?|policy check|run|connect|listen|doctor)((?: (?!-- )[\w./:*-]+)*)/g,
    )
    for (const [line, command = '', rest = ''] of commands) {
      const { code, stdout } = await typed(...command.split(' '), '--help')
      t.equal(code, 0, `${path}: ${line}`)
      for (const option of rest.match(/--[a-z-]+/g) ?? [])
        t.match(stdout, option, `${path}: ${line}`)
    }
  }
})

t.test('every command is in the document of the command line', async t => {
  const { stderr } = await typed('no-such-command')
  const [, list = ''] = /choose among: (.*)/.exec(stderr) ?? []
  const documented = rows(read('docs/command-line.md')).flatMap(
    ([cell = '']) => /^\[`(\w+)/.exec(cell)?.slice(1) ?? [],
  )
  t.same(documented.sort(), list.split(', ').sort())
})

t.test('every npm script of the documents is there', async t => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  for (const path of documents) {
    for (const [line, name = ''] of read(path).matchAll(
      /npm (?:run )?((?:start|test)\b|(?<=run )[\w:]+)/g,
    ))
      t.ok(name in scripts, `${path}: ${line}`)
  }
})

t.test('every link leads somewhere, and every path that is named exists', async t => {
  for (const path of documents) {
    const text = read(path)
    for (const link of links(text)) {
      if (/^https?:/.test(link)) continue
      const [file = '', anchor] = link.split('#')
      const target = file === '' ? path : normalize(join(dirname(path), file))
      if (!t.ok(existsSync(join(root, target)), `${path}: ${link}`) || anchor === undefined)
        continue
      t.ok(anchors(read(target)).includes(anchor), `${path}: ${link}`)
    }
    for (const [, named = ''] of prose(text).matchAll(
      /`((?:src|test|lib|docs|bench|scripts|examples|\.ci)\/[\w./-]+)`/g,
    ))
      t.ok(existsSync(join(root, named)), `${path}: ${named}`)
  }
})

t.test('every piece of JavaScript in the reference is JavaScript', async t => {
  const pieces = blocks(api, 'js')
  t.ok(pieces.length > 0)
  for (const piece of pieces)
    await t.resolves(transform(piece, { loader: 'js', format: 'esm' }), piece)
})

function quoted(text: string): string[] {
  return [...text.matchAll(/'([^']+)'/g)].map(([, each = '']) => each).sort()
}

/** The settings of a kind of socket, as the refusal of an unknown one lists them. */
function settingsOf(kind: SocketKind): string[] {
  try {
    parseSettings({ x: 1 } as object, kind as 'datagram')
  } catch (error) {
    const [, list = ''] = /the settings are (.*)$/.exec((error as Error).message) ?? []
    return list.split(', ').sort()
  }
  throw new Error('it was not refused')
}

/** The options, as the refusal of an unknown one lists them. */
function optionsIn({ message }: Error): string[] {
  return /: use (.*)$/.exec(message)?.[1]?.split(', ').sort() ?? []
}

/** The types that a face exports. */
function typesOf(source: string): Record<string, true> {
  const names = [
    ...source.matchAll(/\btype ([A-Z]\w+)/g),
    ...source.matchAll(/export type \{([^}]*)\}/g),
  ]
  const list = names.flatMap(([, each = '']) => each.split(',').map(name => name.trim()))
  return Object.fromEntries(list.filter(name => name !== '').map(name => [name, true]))
}

/** Public members that our class adds to its base. */
function membersBeyond(ours: object, base: object): string[] {
  const names = new Set<string>()
  for (let each = ours; each !== base; each = Object.getPrototypeOf(each))
    for (const name of Object.getOwnPropertyNames(each)) names.add(name)
  return [...names].filter(name => !name.startsWith('_') && !(name in base))
}
