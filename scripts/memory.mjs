// npm run test:memory: the tests under what sees mistakes with memory, on Linux with glibc. First all of
// npm test's by the C library's own checks, where memory that was freed is overwritten and a wrong free()
// ends the process; then the heart of the binding under valgrind, which sees each wrong read and write, and
// takes a quarter of an hour; it is left out where it is not installed.
// npm run test:memory -- [--tool glibc|valgrind] [PATH…]: by one of the two, these files only.
//
// Before anything counts, each of them must find what scripts/memory-control.mjs does wrong on purpose.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { runFile, testsIn, unitTests } from './run-tests.mjs'
import { add, showFile, summary } from './test-output.mjs'

const suppressions = fileURLToPath(new URL('valgrind.supp', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'secure-socket-memory-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))

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
    files: unitTests(),
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
const named = positionals.flatMap(testsIn)
const wanted = values.tool === undefined ? Object.keys(tools) : [values.tool]
const total = { passed: 0, failed: 0, skipped: 0 }

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
      const outcome = await run(tool, file)
      add(total, showFile(file, { ...outcome, code: outcome.complaints ? 99 : outcome.code }))
      if (outcome.complaints) console.log(outcome.complaints)
    }
  }
  await Promise.all(Array.from({ length: tool.jobs }, work))
}

/** Why the tool is of no use here; undefined where it finds what is wrong, and only that. */
async function blind(tool) {
  for (const mistake of ['none', 'use after free', 'double free', 'overrun']) {
    const { code, complaints, output } = await run(tool, 'scripts/memory-control.mjs', [mistake])
    const found = code !== 0 || complaints !== ''
    if (found !== (mistake !== 'none'))
      return `${found ? 'finds what is none' : 'does not find'}: ${mistake}\n${complaints}${output}`
  }
  return undefined
}

/** Runs it with the node that runs this, and gives what the tool has against it. */
async function run({ command, env, seconds }, file, args) {
  const logs = mkdtempSync(join(folder, 'logs-'))
  const outcome = await runFile(file, { command: command(logs), args, env, seconds })
  const complaints = readdirSync(logs)
    .map(log => readFileSync(join(logs, log), 'utf8'))
    .filter(text => /==\d+== /.test(text))
    .join('\n')
  return { ...outcome, complaints }
}
