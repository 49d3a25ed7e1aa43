// Runs test files under tap and prints one line per file, everything of a file that fails, and a sum.
// node scripts/tap.mjs [FILE…] runs them with the node that runs this script, child processes too.

import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** More files than these do not fail because the machine was busy. */
const mostRunAgain = 3

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const result = await runTap(process.argv.slice(2))
  console.log(`\n${summary(result)}`)
  process.exitCode = result.failed === 0 ? 0 : 1
}

/**
 * What fails is run once more, alone: a test with a deadline can fail on a busy machine. That it did is
 * told, in a line that begins with "flaky:", and is not forgotten.
 *
 * @param {string[]} [files] what .taprc includes when empty
 * @param {Record<string, string>} [variables] of the environment, besides those of this process
 * @returns {Promise<{passed: number, failed: number, skipped: number}>} assertions, not files
 */
export async function runTap(files = [], variables = {}) {
  const { failedFiles, ...result } = await runOnce(files, variables)
  const named = failedFiles.every(file => file.startsWith('test/'))
  if (result.failed === 0 || !named || !failedFiles.length || failedFiles.length > mostRunAgain)
    return result
  const again = await runOnce(failedFiles, variables, ['--jobs=1'])
  if (again.failed > 0) return result
  for (const file of failedFiles)
    console.log(`flaky: ${file} failed, and passed when it was run alone`)
  return { passed: result.passed + result.failed, failed: 0, skipped: result.skipped }
}

async function runOnce(files, variables, more = []) {
  const set = Object.entries(variables).map(([name, value]) => `${name}=${value} `)
  console.log(`\n> ${set.join('')}tap ${files.join(' ')} (Node ${process.versions.node})`)
  const path = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`
  const tap = spawn(process.execPath, [tapProgram(), '--reporter=tap', ...more, ...files], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...variables, PATH: path },
  })
  const exited = new Promise((resolve, reject) => {
    tap.once('error', reject)
    tap.once('close', code => resolve(code))
  })
  const result = await report(createInterface({ input: tap.stdout }))
  // A run that ends badly without a failed assertion (nothing found, a crash) is a failure too.
  if ((await exited) !== 0 && result.failed === 0) result.failed = 1
  return result
}

/** @returns {string} such as "12 passed, 0 failed, 1 skipped" */
export function summary({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`
}

function tapProgram() {
  const manifest = createRequire(import.meta.url).resolve('tap/package.json')
  return join(dirname(manifest), 'dist/esm/run.mjs')
}

/** Condenses TAP: a file's lines are held back until its result is known. */
async function report(lines) {
  const result = { passed: 0, failed: 0, skipped: 0, failedFiles: [] }
  let file = []
  for await (const line of lines) {
    if (line.startsWith('# Subtest: ')) {
      showFile(file)
      file = []
    }
    const total = /^# \{ (total: .*) \}$/.exec(line)?.[1]
    if (total) {
      const count = key => Number(new RegExp(`\\b${key}: (\\d+)`).exec(total)?.[1] ?? 0)
      result.passed = count('pass')
      result.failed = count('fail')
      result.skipped = count('skip') + count('todo')
    } else if (!/^(TAP version|1\.\.\d+|# No coverage|# time=)/.test(line)) {
      file.push(line)
      const failed = /^not ok \d+ - (.*?)( # .*)?$/.exec(line)?.[1]
      if (failed !== undefined) result.failedFiles.push(failed)
    }
  }
  showFile(file)
  return result
}

function showFile(lines) {
  const verdict = lines.find(line => /^(not )?ok /.test(line))
  const passed = verdict?.startsWith('ok ')
  const shown = passed
    ? [verdict, ...lines.filter(line => /^ +ok .*# (SKIP|TODO)/.test(line))]
    : lines
  for (const line of shown) console.log(line)
}
