/**
 * docs/observability.md says what the code does: the names of the events, the counters, what is shown, and
 * its programs. Its commands for Wireshark are tried in test/interop/wireshark.test.ts.
 */
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { transform } from 'esbuild'
import t from 'tap'
import { SecureSocket } from '../../src/index.js'
import { closed, event } from '../support/events.js'
import { root } from '../support/project-root.js'
import { listening, trust } from '../support/secured.js'
import { blocks, code, read, rows, section } from './markdown.js'

const text = read('docs/observability.md')
/** Where the source has a template for names. */
const protocol = /\$\{protocol\}/

t.test('the events of the process: each that there is, and no other', async t => {
  const documented = rows(section(text, 'Events of the process'))
    .flatMap(([cell = '']) => {
      const [first = '', ...more] = [...cell.matchAll(/`([^`]+)`/g)].map(([, each = '']) => each)
      return [first, ...more.map(each => first.replace(/:\w+$/, each))]
    })
    .sort()
  const sources = readdirSync(`${root}/src`, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => read(`src/${name.replaceAll('\\', '/')}`))
  const made = sources.flatMap(source =>
    [...source.matchAll(/channel\(\s*[`'](secure-socket:[^`']+)[`']/g)].flatMap(([, name = '']) =>
      // In native mode nothing is left clear.
      protocol.test(name)
        ? ['tls', ...(name.endsWith('insecure') ? [] : ['ipsec'])].map(each =>
            name.replace(protocol, each),
          )
        : [name],
    ),
  )
  t.same([...new Set(made)].sort(), documented)
})

t.test('the counters: each that there is, and no other', async t => {
  const named = rows(section(text, 'Numbers')).flatMap(([cell = '']) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, each]) => each),
  )
  const { port, server } = await listening(t, {}, socket => socket.end())
  const socket = new SecureSocket({ security: await trust() })
  socket.connect(port, '127.0.0.1').resume()
  await event(socket, 'connect')
  t.same(named.sort(), [...Object.keys(socket.stats), ...Object.keys(server.stats)].sort())
  await closed(socket)
})

t.test(
  'the story: what NODE_DEBUG prints of a stream and of a datagram, at the client',
  async t => {
    const program = fileURLToPath(new URL('../support/both-transports-program.ts', import.meta.url))
    const options = { env: { ...process.env, NODE_DEBUG: 'secure-socket' }, timeout: 100_000 }
    const args = [...process.execArgv, program]
    const { stderr } = await promisify(execFile)(process.execPath, args, options)
    const printed = stderr.split('\n').map(alike)
    const documented = blocks(section(text, 'The story'), '').flatMap(each =>
      each.trim().split('\n'),
    )
    t.equal(documented.length, 5)
    for (const line of documented) t.ok(printed.includes(alike(line)), `${line}\n${stderr}`)
  },
)

/** Without what differs from one process and peer to another. */
function alike(line: string): string {
  return line
    .replace(/^SECURE-SOCKET \d+/, 'SECURE-SOCKET')
    .replace(/(?:localhost|127\.0\.0\.1):\d+/, 'ADDRESS')
    .replace(/peer .*/, 'peer')
}

t.test('who asks for the secrets: what the reference says, too', async t => {
  t.match(section(read('docs/api.md'), 'Settings'), /`keylog`.*--tls-keylog/)
  const requests = rows(section(text, 'Looking inside')).map(([cell]) => code(cell))
  t.match(requests, [/keylog: true/, /keylog: '\/path/, /^node --tls-keylog=/])
})

t.test('every piece of JavaScript is JavaScript', async t => {
  const pieces = blocks(text, 'js')
  t.ok(pieces.length > 0)
  for (const piece of pieces)
    await t.resolves(transform(piece, { loader: 'js', format: 'esm' }), piece)
})
