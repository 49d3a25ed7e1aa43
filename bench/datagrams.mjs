#!/usr/bin/env node
// Secured datagrams against plain node:dgram, the packages of npm that speak DTLS, and what C can do:
// what they cost in CPU and memory. See bench/README.md for how it measures and why.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { makeProcesses } from './alternate.mjs'
import { beforeOf, benches, kinds, packages, titleOf } from './datagrams/benches.mjs'
import { makeCredentials } from './datagrams/credentials.mjs'
import { buildLimit } from './datagrams/limit.mjs'
import { ensurePackages } from './datagrams/packages.mjs'
import { plots } from './datagrams/plots.mjs'
import { machine, markdown } from './datagrams/report.mjs'
import { channelMissing } from './datagrams/subjects.mjs'
import { summarise } from './datagrams/summary.mjs'
import { tables } from './datagrams/tables.mjs'
import { table } from './table.mjs'

const usage = `npm run bench:datagrams -- [options]

--only KIND      only ${kinds.join(', ')}; can be given several times
--subject KEY    only these, such as ours-batch, dgram or limit; can be given several times
--rounds N       rounds that are measured, after a warm-up (9; with --quick 3); for memory a fifth
--quick          less of it, for a first look
--json FILE      write every measurement to a file
--out DIR        write datagrams.json, datagrams.md and datagrams*.svg there
                 (a complete run without --quick writes bench/results)
--dist DIR       the build to measure (dist)
--before DIR     another build, measured in the same rounds: the effect of a change
--help           this text`

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: kinds },
    subject: { type: 'string', multiple: true },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    out: { type: 'string' },
    dist: { type: 'string', default: fileURLToPath(new URL('../dist', import.meta.url)) },
    before: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(usage)
  process.exit()
}

const rounds = Number(values.rounds ?? (values.quick ? 3 : 9))
const unknown = values.only.find(kind => !kinds.includes(kind))
if (unknown !== undefined) fail(`--only ${unknown}: use ${kinds.join(', ')}`)
if (!(Number.isInteger(rounds) && rounds > 0)) fail(`--rounds ${values.rounds}: give a number`)

const build = resolve(values.dist)
const before = values.before && resolve(values.before)
for (const each of [build, before].filter(Boolean)) {
  if (!existsSync(join(each, 'dgram.cjs'))) fail(`${each} holds no build: npm run build`)
}

const complete =
  kinds.every(kind => values.only.includes(kind)) &&
  !(values.quick || values.before || values.subject)
const out =
  values.out ?? (complete ? fileURLToPath(new URL('results', import.meta.url)) : undefined)

ensurePackages(packages.filter(isAsked))
const credentials = await makeCredentials(build)
const limit = buildLimit()
const leftOut = await findLeftOut()
const beforeHasBatch = before && !(await channelMissing(before, 'batch', credentials))
const wanted = benches
  .filter(({ kind, quick }) => values.only.includes(kind) && (quick || !values.quick))
  .map(bench => ({ ...bench, subjects: bench.subjects.filter(({ key }) => isWanted(key)) }))
  .filter(({ subjects }) => subjects.length > 0)

const started = performance.now()
const results = []
const measurements = []
for (const ends of new Set(wanted.map(bench => bench.ends))) {
  const processes = makeProcesses()
  try {
    for (const bench of wanted.filter(each => each.ends === ends)) await measure(bench, processes)
  } catch ({ message }) {
    // What was measured before is not lost.
    progress('')
    console.error(`FAILED: ${ends}: ${message}`)
    process.exitCode = 1
  } finally {
    await processes.stop()
  }
}
progress('')
const minutes = (performance.now() - started) / 60_000

const conditions = {
  ...machine(rounds, limit.version, minutes),
  leftOut: leftOut.map(({ key, why }) => ({ key, title: titleOf(key), why })),
}
console.log(conditions.text)
for (const { title, why } of conditions.leftOut) console.log(`left out: ${title}: ${why}`)
for (const { title, rows, words } of tables(results)) {
  console.log(`\n${title}\n\n${table(rows, words)}`)
}

if (values.json) writeFileSync(values.json, json({ ...recordOf(results), measurements }))
if (out !== undefined) {
  mkdirSync(out, { recursive: true })
  const drawn = plots(results)
  writeFileSync(join(out, 'datagrams.json'), json(recordOf(results)))
  writeFileSync(join(out, 'datagrams.md'), markdown(conditions, results, drawn))
  for (const { name, svg } of drawn) writeFileSync(join(out, `${name}.svg`), svg)
  console.log(`\nwritten: ${out}`)
}

async function measure(bench, processes) {
  const name = `${bench.kind}, ${bench.title}`
  progress(name)
  const all = Math.ceil(rounds * bench.rounds)
  const { samples, failed } = await processes.alternate(subjectsOf(bench), all, round => {
    progress(`${name}  ${round} of ${all}`)
  })
  for (const { key, why } of failed) leftOut.push({ key, why: `${name}: ${why}` })
  results.push(summarise(bench, samples))
  measurements.push({ kind: bench.kind, title: bench.title, samples })
}

function isWanted(key) {
  return isAsked(key) && !leftOut.some(each => each.key === key)
}

function isAsked(key) {
  return values.subject === undefined || values.subject.includes(key)
}

/** What cannot be measured here, and why. */
async function findLeftOut() {
  const batch = await channelMissing(build, 'batch', credentials)
  const batches = ['ours-batch', 'ours-batch-connected']
  return [
    ...(batch ? batches.map(key => ({ key, why: batch })) : []),
    ...(limit.why ? [{ key: 'limit', why: limit.why }] : []),
  ]
}

/** What each subject's process is told. */
function subjectsOf(bench) {
  const { kind, subjects, units, size, burst, duration, resume } = bench
  const warmUp = Math.ceil(bench.warmUp * (values.quick ? 1 / 3 : 1))
  return subjects.flatMap(({ key, part = 1, ...more }) => {
    // A connected socket has one peer.
    const alone = kind === 'peers' && key === 'dgram-connected'
    const task = {
      kind: alone ? 'bursts' : kind,
      subject: key,
      credentials,
      units: units * part,
      ...{ size, burst: kind === 'peers' && !alone ? bench.peers : burst },
      ...{ peers: bench.peers, duration, resume, warmUp },
      limit: limit.program,
      ...more,
    }
    const file = key === 'limit' ? 'limit-worker.mjs' : 'worker.mjs'
    const module = new URL(`./datagrams/${file}`, import.meta.url)
    const foreign = key === 'limit' || packages.includes(key)
    const ours = { key, foreign, lasting: warmUp > 0, module, task: { ...task, build } }
    if (!(before && key.startsWith('ours'))) return ours
    if (key.includes('batch') && !beforeHasBatch) return ours
    return [{ ...ours, key: beforeOf(key), task: { ...ours.task, build: before } }, ours]
  })
}

function recordOf(measured) {
  return {
    machine: conditions,
    results: measured.map(({ bench, ...result }) => {
      const { kind, title, size, burst, peers, resume, units } = bench
      return { kind, title, size, burst, peers, resume, units, ...result }
    }),
  }
}

function json(value) {
  return `${JSON.stringify(value, null, 2)}\n`
}

/** One line that moves, on a terminal only. */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

function fail(message) {
  console.error(message)
  process.exit(2)
}
