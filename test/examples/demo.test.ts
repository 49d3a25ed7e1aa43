/** What `npm start` shows is a claim about security, so it must fail where the claim is not true. */
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import t, { type Test } from 'tap'
import { launch } from '../support/program.js'
import { root } from '../support/project-root.js'
import { built } from './built.js'

const demo = join(root, 'examples/demo')
const load = (file: string) => import(pathToFileURL(join(demo, file)).href)

t.before(built)

t.test('shows the secret on the plain wire, nothing on the secured one, and a refusal', async t => {
  const program = launch(t, process.execPath, [join(demo, 'demo.mjs')])
  const { code } = await program.ended(60_000)
  const { output } = program
  t.equal(code, 0, output)

  t.match(output, '50 49 4e 20 34 37 31 31  PIN 4711', 'the plain bytes, in hex and ASCII')
  t.match(output, '17 03 03 00 31', 'the header of an encrypted record of 32 + 17 bytes')
  for (const secret of ['PIN 4711', 'old oak']) {
    t.match(output, `"${secret}" can be read`)
    t.match(output, `"${secret}" is not there`)
  }

  t.match(output, /name +vault\.example\.com .*name +spiffe:\/\/example\.com\/alice/)
  t.match(output, /version +TLSv1\.3 .*version +TLSv1\.3/)
  t.match(output, /cipher +TLS_\w+ .*cipher +TLS_\w+/)

  t.match(output, 'ERR_PEER_TARGET_NAME_MISMATCH')
  t.match(output.replace(/\s+/g, ' '), 'the peer is not host/bank.example.com')
  t.match(output, 'The client sent ClientHello')
})

t.test('shows three peers on one socket, of which the wrong one is refused alone', async t => {
  const program = launch(t, process.execPath, [join(demo, 'demo.mjs')])
  const { code } = await program.ended(60_000)
  const { output } = program
  t.equal(code, 0, output)
  const act = output.slice(output.indexOf('one socket'))

  t.match(act, 'the fox has the PIN now', 'over node:dgram')
  t.match(act, /ClientHello \d+ \d+/, 'a handshake with a cookie')
  t.match(act, 'refused: a handshake, no data')
  t.match(act, '"PIN 4711" can be read')
  t.match(act, '"PIN 4711" is not there')
  for (const name of ['oak', 'mill'])
    t.match(act, new RegExp(`\\[ok\\] ${name} +host/${name}\\.example\\.com +DTLSv1\\.2`))
  t.match(act, /cave +host\/cave\.example\.com +ERR_PEER_TARGET_NAME_MISMATCH/)
  t.match(act.replace(/\s+/g, ' '), 'its certificate proves "fox.example.com"')
  t.match(act, 'answered again')
})

t.test('is plain text of 80 columns when piped', async t => {
  const program = launch(t, process.execPath, [join(demo, 'demo.mjs')])
  await program.ended(60_000)
  t.notMatch(program.output, /[^\n\x20-\x7e]/, 'printable ASCII and line ends')
  t.notMatch(program.output, /.{81}/)
  t.notMatch(program.output, / $/m, 'nothing at the end of a line')
})

for (const [face, unseen] of [
  ['net', 'not seen: "PIN 4711" nowhere on the wire'],
  ['dgram', 'what the tap has seen is no DTLS'],
] as const) {
  t.test(`fails where the sockets of secure-socket/${face} are not secured`, async t => {
    const program = launch(t, process.execPath, [await withImpostor(t, face)])
    const { code } = await program.ended(60_000)
    t.equal(code, 1)
    t.match(program.output, unseen)
  })
}

t.test('the boxes of a terminal fit into it, whatever its width', async t => {
  const { createTerminal } = await load('terminal.mjs')
  for (const columns of [40, 75, 76, 80, 81, 120, 300]) {
    const lines = drawn(createTerminal, { isTTY: true, columns }, {})
    const widths = lines.map(line => stripVTControlCharacters(line).length)
    t.ok(Math.max(...widths) <= columns, `${columns}: ${Math.max(...widths)}`)
    t.equal(lines.length, columns < 76 ? 7 : 4, `${columns}: below each other where it is narrow`)
  }
})

t.test('colours and box drawing are for terminals that want them', async t => {
  const { createTerminal } = await load('terminal.mjs')
  const rich = { isTTY: true, columns: 80 }
  t.match(drawn(createTerminal, rich, {}).join(''), '\x1b[31m╭')
  for (const [stream, env] of [
    [{ columns: 80 }, {}],
    [rich, { NO_COLOR: '1' }],
    [rich, { TERM: 'dumb' }],
  ] as const) {
    t.notMatch(drawn(createTerminal, stream, env).join(''), /[^\x20-\x7e]/)
  }
})

t.test('a hex dump shows every byte once, and marks those it is told to', async t => {
  const { hexDump } = await load('terminal.mjs')
  t.same(hexDump(Buffer.from('abcdefghi\0'), 33), [
    '61 62 63 64 65 66 67 68  abcdefgh',
    '69 00                    i.',
  ])
  const mark = (text: string, index: number) => (index === 1 ? text.replace(/./g, '*') : text)
  t.same(hexDump(Buffer.from('abc'), 33, mark), ['61 ** 63                 a*c'])
})

t.test('what is no DTLS, or data in clear, is not shown as if it were secured', async t => {
  const { dtlsRecords, payloadOf, recordOf } = await load('datagram-records.mjs')
  const record = (type: number, epoch: number, length: number) =>
    Buffer.from([type, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 1, 0, length, ...Array(length).fill(7)])
  t.throws(() => dtlsRecords([Buffer.from('PIN 4711\n')]))
  t.throws(() => dtlsRecords([record(23, 1, 29).subarray(0, 30)]), 'a record that is cut off')
  t.throws(() => dtlsRecords([record(23, 0, 29)]), 'data that is not encrypted')
  const records = dtlsRecords([Buffer.concat([record(22, 1, 29), record(23, 1, 29)])])
  t.equal(recordOf('hello', records), records[1], '5 bytes, a nonce and a tag')
  t.equal(recordOf('hello!', records), undefined)
  t.equal(payloadOf('hello', records[1].bytes).length, 5)
})

t.test('what is no TLS is not shown as if it were', async t => {
  const { recordOf, tlsRecords } = await load('records.mjs')
  t.throws(() => tlsRecords(Buffer.from('PIN 4711\n')))
  const record = Buffer.from([23, 3, 3, 0, 22, ...Array(22).fill(7)])
  t.throws(() => tlsRecords(record.subarray(0, 26)), 'a record that is cut off')
  t.equal(recordOf('hello', tlsRecords(record)), 0, '5 bytes, a type and a tag')
  t.equal(recordOf('hello!', tlsRecords(record)), -1)
})

/** The same demo, in a project in which one face of secure-socket is Node's own module. */
async function withImpostor(t: Test, impostor: 'net' | 'dgram'): Promise<string> {
  const project = t.testdir({ 'package.json': '{}' })
  const home = join(project, 'node_modules/secure-socket')
  await cp(demo, join(project, 'demo'), { recursive: true })
  await mkdir(home, { recursive: true })
  const exports: Record<string, string> = { './package.json': './package.json' }
  for (const face of ['index', 'net', 'dgram']) {
    exports[face === 'index' ? '.' : `./${face}`] = `./${face}.js`
    const real = face === impostor ? `node:${face}` : pathToFileURL(join(root, `dist/${face}.js`))
    await writeFile(join(home, `${face}.js`), `export * from '${real}'`)
  }
  const contents = JSON.stringify({ version: '0.0.0', type: 'module', exports })
  await writeFile(join(home, 'package.json'), contents)
  return join(project, 'demo/demo.mjs')
}

/** Two panels, as lines: one with one line of text, one with two. */
function drawn(
  createTerminal: (stream: object, env: object) => { panels(...contents: object[]): void },
  stream: object,
  env: object,
): string[] {
  const lines: string[] = []
  const write = (line: string) => lines.push(line.replace(/\n$/, ''))
  const panel = { title: 'a title', colour: 'red' }
  createTerminal({ ...stream, write }, env).panels(
    { ...panel, lines: ['a line'] },
    { ...panel, lines: ['a line', 'another line'] },
  )
  return lines
}
