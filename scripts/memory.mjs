// npm run test:memory: the tests of datagram sockets and their binding under what sees mistakes with memory,
// on Linux with glibc. First by the C library's own checks, where memory that was freed is overwritten and a
// wrong free() ends the process; then the heart of them under valgrind, which sees each wrong read and write,
// and takes a quarter of an hour; it is left out where it is not installed.
// npm run test:memory -- [--tool glibc|valgrind] [FILE…]: by one of the two, these files only.
//
// Before anything counts, each of them must find what scripts/memory-control.mjs does wrong on purpose.

import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { summary } from './tap.mjs'
import { add, showFile } from './tap-output.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const control = fileURLToPath(new URL('memory-control.mjs', import.meta.url))
const suppressions = fileURLToPath(new URL('valgrind.supp', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'secure-socket-memory-'))

const folders = ['test/providers/dtls', 'test/channels', 'test/sockets/dgram', 'test/lib']
/** What calls the most of OpenSSL and of the system, and measures no time: all is thirty times slower. */
const heart = [
  'test/providers/dtls/association-psk.test.ts',
  'test/providers/dtls/association-resumption.test.ts',
  'test/providers/dtls/association-wrong-peer.test.ts',
  'test/providers/dtls/crashes.test.ts',
  'test/providers/dtls/forged-records.test.ts',
  'test/providers/dtls/owed-records.test.ts',
  'test/providers/dtls/record-buffers.test.ts',
  'test/channels/batch/sockaddr.test.ts',
  'test/channels/batch/outgoing-loopback.test.ts',
  'test/lib/koffi.test.ts',
  'test/lib/linux-sockets.test.ts',
]

/**
 * @typedef {object} Tool
 * @property {(logs: string) => string[]} command what stands before the node that runs, and writes its complaints there
 * @property {Record<string, string>} env
 * @property {readonly string[]} files
 * @property {number} jobs
 * @property {number} seconds for one file, at the most
 */

/** @type {Record<string, Tool>} */
const tools = {
  glibc: {
    command: () => [],
    env: { LD_PRELOAD: 'libc_malloc_debug.so.0', MALLOC_CHECK_: '3', MALLOC_PERTURB_: '165' },
    files: folders.flatMap(testsIn),
    jobs: 2,
    seconds: 300,
  },
  valgrind: {
    command: logs => [
      ...['valgrind', '--quiet', '--trace-children=yes', '--error-limit=no', '--num-callers=20'],
      ...[`--suppressions=${suppressions}`, `--log-file=${logs}/%p`],
    ],
    env: {},
    files: heart,
    jobs: 2,
    seconds: 1800,
  },
}

const { values, positionals } = parseArgs({
  options: { tool: { type: 'string' } },
  allowPositionals: true,
})
const named = positionals.map(file => resolve(file).slice(root.length))
const wanted = values.tool === undefined ? Object.keys(tools) : [values.tool]
const total = { passed: 0, failed: 0, skipped: 0 }
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
process.once('SIGINT', () => process.exit(130))

// It imports what may not be installed.
const { mirror } = await import('./mirror.mjs')
const tree = join(folder, 'tree')
mkdirSync(tree)
mirror(tree)
symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'))

for (const name of wanted) await check(name)
console.log(`\n${summary(total)}`)
process.exitCode = total.failed === 0 ? 0 : 1

async function check(name) {
  const tool = tools[name]
  if (tool === undefined) throw new Error(`--tool: one of ${Object.keys(tools)}, not ${name}`)
  console.log(`\n> ${name} (Node ${process.versions.node})`)
  const [command] = tool.command('')
  if (command && spawnSync(command, ['--version']).status !== 0) {
    console.log(`ok - ${name} # SKIP it is not installed`)
    add(total, { passed: 0, failed: 0, skipped: 1 })
    return
  }
  const blindness = await blind(tool)
  if (blindness !== undefined) {
    console.log(`not ok - ${name} is worth nothing here: it ${blindness}`)
    add(total, { passed: 0, failed: 1, skipped: 0 })
    return
  }
  const files = [...(named.length > 0 ? named : tool.files)]
  const work = async () => {
    for (let file = files.shift(); file; file = files.shift()) {
      const script = file.replace(/\.ts$/, '.js')
      const outcome = await run(tool, [join(tree, script)])
      add(total, showFile(file, { ...outcome, code: outcome.complaints ? 99 : outcome.code }))
      if (outcome.complaints) console.log(outcome.complaints)
    }
  }
  await Promise.all(Array.from({ length: tool.jobs }, work))
}

/** Why the tool is of no use here; undefined where it finds what is wrong, and only that. */
async function blind(tool) {
  for (const mistake of ['none', 'use after free', 'double free', 'overrun']) {
    const { code, complaints, output } = await run(tool, [control, mistake])
    const found = code !== 0 || complaints !== ''
    if (found !== (mistake !== 'none'))
      return `${found ? 'finds what is none' : 'does not find'}: ${mistake}\n${complaints}${output}`
  }
  return undefined
}

/** Runs it with the node that runs this, and gives what the tool has against it. */
function run({ command, env, seconds }, args) {
  const started = performance.now()
  const logs = mkdtempSync(join(folder, 'logs-'))
  const all = [...command(logs), process.execPath, ...args]
  const child = spawn(all[0], all.slice(1), {
    cwd: tree,
    env: { ...process.env, ...env, TAP_TIMEOUT: String(seconds) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', chunk => (output += chunk))
  child.stderr.on('data', chunk => (output += chunk))
  let late
  const timer = setTimeout(() => {
    late = seconds
    child.kill('SIGKILL')
  }, seconds * 1000)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      const complaints = readdirSync(logs)
        .map(log => readFileSync(join(logs, log), 'utf8'))
        .filter(text => /==\d+== /.test(text))
        .join('\n')
      const took = (performance.now() - started) / 1000
      resolve({ output, code: code ?? signal, late, seconds: took, complaints })
    })
  })
}

function testsIn(path) {
  return readdirSync(join(root, path), { recursive: true })
    .filter(name => name.endsWith('.test.ts'))
    .map(name => join(path, name))
    .sort()
}
