// Runs test files and prints one line for each, everything of a file that fails, and a sum.
// node scripts/run-tests.mjs [PATH…]: these files, and those of these folders, or all of `npm run test:unit`,
// with the node that runs this script, child processes too.
//
// They run as JavaScript, from a copy of the tree: tap's own runner loads a compiler into each file and into
// each process that a file starts, which costs four times what the tests do.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { delimiter, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runAgainWhatFails, share } from './run-files.mjs'
import { summary } from './test-output.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
/** What takes other programs or the packed package, as in .taprc. */
const elsewhere = ['test/interop/', 'test/package/', 'test/strongswan/']
const jobs = 2
const trees = join(root, '.tests')

let made
const running = new Set()

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const paths = process.argv.slice(2)
  const result = await runTests(paths.length > 0 ? paths.flatMap(testsIn) : unitTests())
  console.log(`\n${summary(result)}`)
  process.exitCode = result.failed === 0 ? 0 : 1
}

/**
 * @param {readonly string[]} files from the project's root
 * @param {Record<string, string>} [variables] of the environment, besides those of this process
 * @returns {Promise<{passed: number, failed: number, skipped: number}>} assertions, not files
 */
export async function runTests(files, variables = {}) {
  if (files.length === 0) throw new Error('there is no such test')
  const set = Object.entries(variables).map(([name, value]) => `, ${name}=${value}`)
  console.log(`\n> ${files.length} test files (Node ${process.versions.node}${set.join('')})`)
  const path = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`
  const env = { ...variables, PATH: path }
  const seconds = Number(process.env.TAP_TIMEOUT ?? 120)
  return runAgainWhatFails(files, (each, { again }) => {
    // Then somebody wants to know lines; for all of the files the maps would cost a third of the time.
    const flags = again ? ['--enable-source-maps'] : []
    const places = Array(again ? 1 : jobs).fill(undefined)
    return share(each, places, file => runFile(file, { flags, env, seconds }))
  })
}

/** The files of a folder, or the file itself. */
export function testsIn(path) {
  const from = resolve(root, path)
  if (!statSync(from).isDirectory()) return [relative(root, from)]
  return readdirSync(from, { recursive: true })
    .filter(name => name.endsWith('.test.ts'))
    .map(name => relative(root, join(from, name)).replaceAll('\\', '/'))
    .sort()
}

/** Those that need nothing but Node. */
export function unitTests() {
  return testsIn('test').filter(file => !elsewhere.some(folder => file.startsWith(folder)))
}

/** The copy of the tree in JavaScript, which lasts as long as this process. */
export function compiledTree() {
  made ??= makeTree()
  return made
}

async function makeTree() {
  // It imports what may just have been installed.
  const { mirror } = await import('./mirror.mjs')
  // Inside the project packages are found without a link: import() of Node 22 does not follow one where the
  // last file that was looked at is a pipe, and then a package of CommonJS has no exports.
  mkdirSync(trees, { recursive: true })
  const tree = mkdtempSync(join(trees, 'run-'))
  process.once('exit', () => {
    for (const child of running) end(child)
    rmSync(tree, { recursive: true, force: true })
  })
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])
    process.once(signal, () => process.exit(code))
  mirror(tree)
  return tree
}

/**
 * Runs one of the tree's files as a process.
 * @param {string} file of the tree, in TypeScript
 * @param {object} options
 * @param {readonly string[]} [options.command] what stands before Node
 * @param {readonly string[]} [options.flags] for Node
 * @param {readonly string[]} [options.args] for the file
 * @param {Record<string, string>} options.env besides that of this process
 * @param {number} options.seconds after which tap, and then we, put an end to it
 * @returns {Promise<import('./test-output.mjs').Outcome>}
 */
export async function runFile(file, { command = [], flags = [], args = [], env, seconds }) {
  const cwd = await compiledTree()
  const started = performance.now()
  const script = file.replace(/\.ts$/, '.js')
  const [program, ...rest] = [...command, process.execPath, ...flags, script, ...args]
  const child = spawn(program, rest, {
    cwd,
    env: { ...process.env, ...env, TAP_TIMEOUT: String(seconds) },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, to which the programs belong that it starts.
    detached: true,
  })
  running.add(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', text => (output += text))
  let late
  const timer = setTimeout(
    () => {
      late = seconds
      end(child)
    },
    (seconds + 10) * 1000,
  )
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      running.delete(child)
      // Whoever is ended in the middle leaves programs behind.
      end(child)
      const took = (performance.now() - started) / 1000
      resolve({ output, code: code ?? signal, late, seconds: took })
    })
  })
}

/** With all that it has started. */
function end(child) {
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // They have all ended, or the system has no groups.
    child.kill('SIGKILL')
  }
}
