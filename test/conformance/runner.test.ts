// The runner judges us by Node's tests, so what it makes of a test must itself be right. The tests
// here are made up; Node's own are not in this repository.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

// Plain JavaScript without types, since the script runs without a build.
const load = (name: string) => import(new URL(name, import.meta.url).href)
const { findTests, suiteNames } = await load('./suites.mjs')
const { runTests } = await load('./run.mjs')
const { readKnownDifferences } = await load('./known-differences.mjs')

const made = {
  'parallel/test-net-pass.js': '',
  'parallel/test-net-skip.js': 'console.log("1..0 # Skipped: no IPv6 here")',
  'parallel/test-net-fail.js': 'throw new Error("no")',
  'parallel/test-net-crash.js': 'process.abort()',
  'parallel/test-net-hang.js': 'setInterval(() => {}, 1000)',
  'parallel/test-net-flaky.js': `
    const file = process.env.NODE_TEST_DIR + '/seen'
    if (!require('fs').existsSync(file)) { require('fs').writeFileSync(file, ''); process.exit(1) }`,
  'parallel/test-net-leftover.js': `
    require('child_process')
      .spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })
      .unref()`,
  'parallel/test-net-demands.mjs': `// Flags: --expose-internals --no-warnings
// Env: COLOUR=blue
import assert from 'node:assert'
assert.strictEqual(process.env.COLOUR, 'blue')
assert(process.execArgv.includes('--expose-internals'))`,
  'parallel/test-network.js': '',
  'sequential/test-net-alone.js': 'process.exit(Number(process.env.TEST_PARALLEL))',
  'sequential/test-http-other.js': '',
}

t.test('says what became of each test', async t => {
  const directory = t.testdir({ scratch: {}, 'package.json': '{ "type": "commonjs" }' })
  const root = join(directory, 'test')
  for (const folder of ['parallel', 'sequential', 'common']) {
    mkdirSync(join(root, folder), { recursive: true })
  }
  for (const [id, source] of Object.entries(made)) writeFileSync(join(root, id), source)

  const tests = findTests(directory, 'net')
  t.equal(tests.length, 9, 'only those of the suite')

  const seen: string[] = []
  const results = await runTests(tests, {
    jobs: 2,
    timeout: 3000,
    scratch: join(directory, 'scratch'),
    env: {},
    onResult: ({ test }: { test: { id: string } }) => seen.push(test.id),
  })

  const statuses = Object.fromEntries(
    tests.map(({ id }: { id: string }) => [
      id.replace(/.*test-net-|\..*/g, ''),
      results.get(id).status + (results.get(id).flaky ? ' the second time' : ''),
    ]),
  )
  t.strictSame(statuses, {
    alone: 'pass',
    crash: 'crash',
    demands: 'pass',
    fail: 'fail',
    flaky: 'pass the second time',
    hang: 'timeout',
    leftover: 'pass',
    pass: 'pass',
    skip: 'skip',
  })
  t.equal(seen.length, tests.length, 'each is reported once')
})

t.test('a folder without tests is told from a checkout', async t => {
  t.throws(() => findTests(t.testdir(), 'net'), /no test\/parallel/)
})

t.test('every known difference has one line that says why', async t => {
  for (const suite of suiteNames) {
    for (const major of [20, 22, 24, 26]) {
      for (const through of ['faces', 'register']) {
        const options = { mutual: true, channel: 'batch', through }
        const { known, target } = readKnownDifferences(suite, major, options)
        t.ok(target > 0)
        for (const [id, { reason }] of known) {
          t.match(id, new RegExp(`^(parallel|sequential)/test-${suite}-`))
          t.match(reason, /^[A-Z].{20,}\.$/)
        }
      }
    }
  }
})

t.test('of several entries for one test the first that applies counts', async t => {
  const reasonOf = (options: object) =>
    readKnownDifferences('dgram', 20, options).known.get('parallel/test-dgram-bind-fd-error.js')
      ?.reason
  t.match(reasonOf({ through: 'register', channel: 'batch' }), /refused/)
  t.match(reasonOf({ channel: 'batch' }), /second time/)
  t.equal(reasonOf({ channel: 'portable' }), undefined)
})

t.test('the target of the nearest older version counts', async t => {
  t.equal(readKnownDifferences('net', 22).target, readKnownDifferences('net', 20).target)
  t.equal(readKnownDifferences('net', 26).target, readKnownDifferences('net', 24).target)
})
