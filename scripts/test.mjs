// npm test: everything that must hold before a commit. Needs nothing but Node and npm on a fresh clone.
// Every step runs, also after a failure; the last line is the sum.

import { ensureInstalled } from './ensure-installed.mjs'
import { npm } from './npm.mjs'
import { runPortable } from './portable-channel.mjs'
import { runTests, unitTests } from './run-tests.mjs'
import { add, summary } from './test-output.mjs'

ensureInstalled()

const results = [
  check('build'),
  check('typecheck'),
  check('lint'),
  { name: 'unit tests', ...(await runTests(unitTests())) },
  { name: 'portable channel', ...(await runPortable(file => !file.startsWith('test/interop/'))) },
  { name: 'package tests', ...(await runTests(['test/package/package.test.ts'])) },
]

console.log()
for (const result of results) console.log(`${result.name.padEnd(16)} ${summary(result)}`)

const total = { passed: 0, failed: 0, skipped: 0 }
for (const result of results) add(total, result)
console.log(`\n${summary(total)}`)
process.exitCode = total.failed === 0 ? 0 : 1

/** An npm script that passes or fails as a whole. */
function check(script) {
  console.log(`\n> ${script}`)
  const passed = npm(['run', '--silent', script])
  return { name: script, passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0 }
}
