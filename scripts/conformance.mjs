#!/usr/bin/env node
// Runs Node's own net, http and dgram tests, plain and then with `net` and `dgram` replaced by ours,
// and explains every difference. See docs/conformance.md. The tests run on the node that runs this script.

import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { readKnownDifferences } from '../test/conformance/known-differences.mjs'
import { progress, showDifferences, showTable } from '../test/conformance/report.mjs'
import { runTests, stopTests, succeeded } from '../test/conformance/run.mjs'
import { securedEnvironment } from '../test/conformance/secured.mjs'
import { findTests, suiteNames } from '../test/conformance/suites.mjs'

const usage = `npm run conformance -- DIR [options]

DIR              a checkout of Node's own tests (it has test/parallel and test/common)
--suite NAME     only net, http or dgram
--only PATTERN   only tests whose name matches this regular expression
--through WAY    faces: a test gets our modules (the default); register: node's own, patched by register
--plain-only     only node's own modules, to see what can pass here at all
--mutual         clients prove who they are as well (no target then)
--jobs N         tests at a time (2)
--timeout S      seconds for one test (60)
--dist DIR       the build to test (dist)
--json FILE      write every result to a file
--verbose        show the output of each test that differs
--help           this text`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    suite: { type: 'string', multiple: true, default: suiteNames },
    only: { type: 'string' },
    through: { type: 'string', default: 'faces' },
    'plain-only': { type: 'boolean', default: false },
    mutual: { type: 'boolean', default: false },
    jobs: { type: 'string', default: '2' },
    timeout: { type: 'string', default: '60' },
    dist: { type: 'string', default: fileURLToPath(new URL('../dist', import.meta.url)) },
    json: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help || positionals.length !== 1 || !['faces', 'register'].includes(values.through)) {
  console.log(usage)
  process.exit(values.help ? 0 : 2)
}

const directory = resolve(positionals[0])
const only = values.only === undefined ? undefined : new RegExp(values.only)
const major = Number(process.versions.node.split('.')[0])
const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'conformance-')))

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    stopTests()
    process.exit(130)
  })
}
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))

console.log(`Node ${process.versions.node}, tests in ${directory}`)
/** How datagrams travel, as the canary has seen it. */
let channel
const policies = values['plain-only'] ? undefined : await provenPolicies()
const suites = []
for (const name of values.suite) suites.push(await runSuite(name))

showTable(suites)
for (const suite of suites) showDifferences(suite, values.verbose)
if (values.json) writeFileSync(values.json, `${JSON.stringify(suites.map(record), null, 2)}\n`)
process.exitCode = suites.every(suite => suite.failures.length === 0) ? 0 : 1

/** Runs one suite both ways and compares. */
async function runSuite(name) {
  const tests = findTests(directory, name, only)
  const plain = await run(`${name} plain`, tests, {})
  const capable = tests.filter(test => succeeded(plain.get(test.id)))
  if (!policies)
    return { name, plain, secured: new Map(), differences: [], crashes: [], failures: [] }

  const env = name === 'dgram' ? policies.datagrams : policies.connections
  const secured = await run(`${name} secured`, capable, env)
  return { name, plain, secured, ...compare(name, capable, secured) }
}

/** The variables that secure a test; seen to do so before any result of theirs counts. */
async function provenPolicies() {
  const { mutual, through } = values
  const environments = await securedEnvironment(scratch, resolve(values.dist), { mutual, through })
  const env = environments.datagrams
  const file = fileURLToPath(new URL('../test/conformance/canary.cjs', import.meta.url))
  const canary = { id: 'canary', folder: 'sequential', file, flags: [], env: {} }
  const { status, output } = (await run('canary', [canary], env)).get(canary.id)
  if (status !== 'pass') throw new Error(`net, http or dgram is not secured here:\n${output}`)
  const [line, travels] = /datagrams travel by the (\w+) channel/.exec(output)
  console.log(line)
  channel = travels
  return environments
}

function run(label, tests, env) {
  return runTests(tests, {
    jobs: Number(values.jobs),
    timeout: Number(values.timeout) * 1000,
    scratch,
    env,
    onResult: progress(label, tests.length),
  })
}

/** What differs, why, and which of it makes this run a failure. */
function compare(name, capable, secured) {
  const { mutual, through } = values
  const { known, target } = readKnownDifferences(name, major, { mutual, channel, through })
  const differing = capable.filter(test => !succeeded(secured.get(test.id)))
  const differences = differing.map(test => ({
    ...secured.get(test.id),
    reason: known.get(test.id)?.reason,
  }))

  const crashes = differences.filter(
    ({ test, status, signal }) =>
      status === 'crash' && !(signal === 'SIGABRT' && known.get(test.id)?.abort),
  )
  const failures = crashes.map(({ test, signal }) => `${test.id} crashed (${signal})`)
  const unexplained = differences.filter(({ reason }) => !reason).length
  if (unexplained > 0) failures.push(`${unexplained} unexplained`)
  const passes = capable.length - differing.length
  if (!only && !values.mutual && passes < target)
    failures.push(`${passes} passes, and the target is ${target}`)

  // The list is about the usual run, without client certificates.
  const usual = values.mutual ? [] : capable
  const healed = usual
    .map(({ id }) => id)
    .filter(id => known.has(id) && !known.get(id).race && succeeded(secured.get(id)))
  return { differences, crashes, failures, healed, target }
}

/** A suite as plain data. */
function record({ name, plain, secured, differences, failures, target }) {
  const rows = [...plain.values()].map(result => ({
    id: result.test.id,
    plain: result.status,
    secured: secured.get(result.test.id)?.status,
    milliseconds: result.milliseconds,
    flaky: result.flaky || secured.get(result.test.id)?.flaky || undefined,
    reason: differences.find(difference => difference.test.id === result.test.id)?.reason,
  }))
  return { suite: name, node: process.versions.node, target, failures, tests: rows }
}
