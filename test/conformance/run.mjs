// Runs tests of Node's suites, each in its own process, and says what became of each.

import { spawn } from 'node:child_process'
import { join } from 'node:path'

const crashSignals = ['SIGSEGV', 'SIGABRT', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP']
const outputLimit = 256 * 1024
const running = new Set()

/**
 * Runs every test: those of `parallel` some at a time, those of `sequential` alone, as they demand.
 * A test that does not pass gets a second run, alone, since some measure time and a busy machine
 * fails them: `flaky` says that only the second run passed.
 *
 * @param tests what `findTests` gave
 * @param options `jobs`: how many at a time; `timeout`: milliseconds for one test; `scratch`: a
 *   folder for the tests' temporary files; `env`: variables for the tests; `onResult(result, done)`
 * @returns a Map from a test's id to `{ test, status, signal, milliseconds, output, flaky }`, where
 *   `status` is 'pass', 'skip', 'fail', 'timeout' or 'crash'
 */
export async function runTests(tests, options) {
  const results = new Map()
  const record = result => {
    results.set(result.test.id, result)
    options.onResult?.(result, results.size)
  }

  const parallel = tests.filter(test => test.folder === 'parallel')
  const rest = tests.filter(test => test.folder !== 'parallel')
  const again = []
  const queue = [...parallel]
  const worker = async slot => {
    for (let test = queue.shift(); test; test = queue.shift()) {
      const result = await runTest(test, { ...options, slot })
      if (succeeded(result)) record(result)
      else again.push(result)
    }
  }
  await Promise.all(Array.from({ length: options.jobs }, (_, slot) => worker(slot)))

  for (const test of rest) {
    const result = await runTest(test, { ...options, slot: 0 })
    if (succeeded(result)) record(result)
    else again.push(result)
  }
  for (const first of again) {
    // A crash is a fact about the code whatever a second run says, so it is not washed away.
    if (first.status === 'crash') record(first)
    else {
      const second = await runTest(first.test, { ...options, slot: 0 })
      record(succeeded(second) ? { ...second, flaky: true } : second)
    }
  }
  return results
}

/** Ends every test that still runs, with what it started. */
export function stopTests() {
  for (const child of running) endGroup(child)
}

export const succeeded = ({ status }) => status === 'pass' || status === 'skip'

function runTest(test, { timeout, scratch, slot, env }) {
  return new Promise(resolve => {
    const started = performance.now()
    const child = spawn(process.execPath, [...test.flags, test.file], {
      cwd: join(test.file, '..', '..', '..'),
      env: { ...environment(test, scratch, slot), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // Its own process group, so that what the test itself started ends with it.
      detached: process.platform !== 'win32',
    })
    running.add(child)

    let output = ''
    const collect = chunk => {
      if (output.length < outputLimit) output += chunk
    }
    child.stdout.setEncoding('utf8').on('data', collect)
    child.stderr.setEncoding('utf8').on('data', collect)

    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      endGroup(child)
    }, timeout)

    let lingering
    const finish = (code, signal) => {
      clearTimeout(timer)
      clearTimeout(lingering)
      running.delete(child)
      const milliseconds = Math.round(performance.now() - started)
      const status = timedOut ? 'timeout' : statusOf(code, signal, output)
      resolve({ test, status, code, signal, milliseconds, output, flaky: false })
    }
    child.on('error', error => {
      output += String(error)
      finish(-1, null)
    })
    // 'close' would wait for grandchildren that hold the pipes: end them once the test itself has.
    child.on('exit', () => {
      lingering = setTimeout(endGroup, 1000, child)
    })
    child.on('close', finish)
  })
}

/** The variables Node's own runner sets; NODE_OPTIONS and coverage of ours must not leak in. */
function environment(test, scratch, slot) {
  const env = { ...process.env }
  for (const name of Object.keys(env)) {
    if (/^(NODE_|TAP|npm_|FORCE_COLOR|NO_COLOR|TEST_)/.test(name)) delete env[name]
  }
  return {
    ...env,
    NODE_TEST_DIR: scratch,
    TEST_THREAD_ID: String(slot),
    TEST_SERIAL_ID: `${process.pid}-${slot}`,
    // common.PORT throws in a parallel test and is free for a sequential one.
    TEST_PARALLEL: test.folder === 'parallel' ? '1' : '0',
    ...test.env,
  }
}

function statusOf(code, signal, output) {
  if (crashSignals.includes(signal) || (process.platform === 'win32' && code > 0x80000000)) {
    return 'crash'
  }
  if (code !== 0) return 'fail'
  return /^1\.\.0 # skip/im.test(output) ? 'skip' : 'pass'
}

function endGroup(child) {
  try {
    if (process.platform === 'win32') child.kill('SIGKILL')
    else process.kill(-child.pid, 'SIGKILL')
  } catch {
    // Everything in the group has already ended.
  }
}
