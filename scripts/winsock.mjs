// npm run test:winsock: the tests of the Winsock provider, run by Node for Windows under Wine, with a
// test double in the place of the system's Fwpuclnt.dll. For Debian; installs what is missing.
// node scripts/winsock.mjs [--node 20,22] [FILE…]: with those versions only, those files only.

import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ensureInstalled } from './ensure-installed.mjs'
import { runAgainWhatFails, share } from './run-files.mjs'
import { summary } from './test-output.mjs'
import { startForeignPrograms } from './winsock-foreign.mjs'
import { installPackage } from './winsock-package.mjs'
import {
  cache,
  endWine,
  makePrefix,
  setUp,
  startWine,
  versions,
  windowsNode,
  wine,
  wineEnvironment,
} from './winsock-setup.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What runs when no file is named: all of test/winsock, and these, which are of every platform. */
const chosen = [
  'test/rules/rules.test.ts',
  'test/sockets/secure-dgram-socket.test.ts',
  'test/sockets/secure-server.test.ts',
  'test/sockets/secure-socket.test.ts',
]

/** What runs with the last version only: the providers tls and dtls in detail, with peers of others. */
const chosenOnce = [
  'test/cli/identity.test.ts',
  'test/identity/files.test.ts',
  'test/interop/dtls-openssl-client.test.ts',
  'test/interop/dtls-openssl-server.test.ts',
  'test/interop/openssl-client.test.ts',
  'test/interop/openssl-server.test.ts',
  'test/providers/dtls/association.test.ts',
  'test/providers/dtls/association-psk.test.ts',
  'test/providers/dtls/crashes.test.ts',
  'test/providers/dtls/openssl.test.ts',
  'test/providers/tls/wrong-peer.test.ts',
]

/** What needs the packed package. */
const packageTest = 'test/winsock/package.test.ts'

const jobs = 2
const secondsPerFile = 180

const { values, positionals } = parseArgs({
  options: { node: { type: 'string' } },
  allowPositionals: true,
})
const wanted = values.node?.split(',') ?? versions
for (const version of wanted) {
  if (!versions.includes(version)) throw new Error(`--node: one of ${versions}, not ${version}`)
}
const named = positionals.map(file => resolve(file).slice(root.length))
const files = named.length > 0 ? named : [...tests('test/winsock'), ...chosen]
const filesOnce = named.length > 0 ? [] : chosenOnce

const run = join(cache, `run-${process.pid}`)
const running = new Set()
const prefixes = []
let consumer
let total
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const prefix of prefixes) endWine(prefix)
  for (const folder of [run, consumer]) if (folder) rmSync(folder, { recursive: true, force: true })
})

ensureInstalled()
// It imports what may just have been installed.
const { mirror } = await import('./mirror.mjs')

try {
  setUp()
  if (files.includes(packageTest)) consumer = installPackage()
  const places = await Promise.all(
    Array.from({ length: jobs }, (_, index) => preparePlace(join(run, `${index}`))),
  )
  total = await runAgainWhatFails([...queue()], (tasks, { again }) =>
    share(tasks, again ? places.slice(0, 1) : places, runFile),
  )
  for (const { programs } of places) programs.close()
} catch (error) {
  // What could not be had is one failure: the tests that did not run must not look passed.
  console.error(error.message)
  total = { passed: 0, failed: 1, skipped: 0 }
}
console.log(`\n${summary(total)}`)
process.exitCode = total.failed === 0 ? 0 : 1

function* queue() {
  for (const version of wanted) for (const file of files) yield task(version, file)
  for (const file of filesOnce) yield task(wanted.at(-1), file)
}

function task(version, file) {
  return { version, file, toString: () => `Node ${version} ${file}` }
}

/** Files that run at the same time have a tree and a Wine each, so that they do not meet. */
async function preparePlace(folder) {
  const [tree, prefix] = [join(folder, 'tree'), join(folder, 'prefix')]
  mkdirSync(tree, { recursive: true })
  mirror(tree)
  prefixes.push(prefix)
  makePrefix(prefix)
  startWine(prefix)
  const programs = await startForeignPrograms(prefix)
  const env = {
    ...wineEnvironment(prefix),
    FOREIGN_PROGRAMS: programs.address,
    WINSOCK_DOUBLE: 'true',
    WINSOCK_PACKAGE: consumer ? windowsPath(consumer) : '',
    TAP_TIMEOUT: String(secondsPerFile),
  }
  return { tree, env, programs }
}

/** @returns {Promise<import('./test-output.mjs').Outcome>} */
function runFile({ version, file }, { tree, env }) {
  const started = performance.now()
  const script = join(tree, file.replace(/\.ts$/, '.js'))
  // A file, because Node ends with EBADF under Wine when this is a pipe.
  const path = join(run, `${version}-${file.replaceAll('/', '-')}.tap`)
  const output = openSync(path, 'w')
  const args = [windowsNode(version), '--enable-source-maps', windowsPath(script)]
  const child = spawn(wine, args, { stdio: ['ignore', output, output], env, cwd: tree })
  closeSync(output)
  running.add(child)
  let late
  // tap ends the file itself in time, and says where it was.
  const patience = (secondsPerFile + 10) * 1000
  const timer = setTimeout(() => {
    late = secondsPerFile
    child.kill('SIGKILL')
  }, patience)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => {
      clearTimeout(timer)
      running.delete(child)
      const seconds = (performance.now() - started) / 1000
      resolve({ output: readFileSync(path, 'utf8'), code, late, seconds })
    })
  })
}

function tests(folder) {
  const names = readdirSync(join(root, folder), { recursive: true })
  return names
    .filter(name => name.endsWith('.test.ts'))
    .map(name => join(folder, name))
    .sort()
}

function windowsPath(path) {
  return `Z:${path.replaceAll('/', '\\')}`
}
