#!/usr/bin/env node
// Secured streams against node:tls and plain node:net: what they cost in CPU and memory.
// See bench/README.md for how it measures and why.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { alternate } from './alternate.mjs'
import { chart } from './chart.mjs'
import { benches, kinds, subjectTitles } from './streams/benches.mjs'
import { makeCredentials } from './streams/credentials.mjs'
import { machine, markdown, tables, verdicts } from './streams/report.mjs'
import { summarise } from './streams/summary.mjs'
import { table } from './table.mjs'

const usage = `npm run bench:streams -- [options]

--only KIND      only ${kinds.join(', ')}; can be given several times
--rounds N       rounds that are measured, after a warm-up (31; with --quick 7); for memory a tenth
--quick          less of it, for a first look
--json FILE      write every measurement to a file
--out DIR        write streams.json, streams.md and streams.svg there
                 (a complete run without --quick writes bench/results)
--dist DIR       the build to measure (dist)
--before DIR     another build, measured in the same rounds: the effect of a change
--help           this text`

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: kinds },
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

const rounds = Number(values.rounds ?? (values.quick ? 7 : 31))
const unknown = values.only.find(kind => !kinds.includes(kind))
if (unknown !== undefined) fail(`--only ${unknown}: use ${kinds.join(', ')}`)
if (!(Number.isInteger(rounds) && rounds > 0)) fail(`--rounds ${values.rounds}: give a number`)

const builds = { ours: resolve(values.dist) }
if (values.before) builds.before = resolve(values.before)
for (const build of Object.values(builds)) {
  if (!existsSync(join(build, 'net.cjs'))) fail(`${build} holds no build: npm run build`)
}

const complete = kinds.every(kind => values.only.includes(kind)) && !values.quick && !values.before
const out =
  values.out ?? (complete ? fileURLToPath(new URL('results', import.meta.url)) : undefined)

const credentials = await makeCredentials(builds.ours)
const results = []
for (const bench of benches.filter(({ kind }) => values.only.includes(kind))) {
  progress(bench.title)
  const all = bench.lasting ? rounds : Math.ceil(rounds / 10)
  const samples = await alternate(subjectsOf(bench), all, round => {
    progress(`${bench.title}  ${round} of ${all}`)
  })
  results.push({ bench, ...summarise(bench, samples), samples })
}
progress('')

console.log(`${machine(rounds).text}\n`)
console.log(
  tables(results)
    .map(rows => table(rows))
    .join('\n\n'),
)
console.log(`\n${verdicts(results).join('\n')}`)

if (values.json) writeFileSync(values.json, json(recordOf(results, true)))
if (out !== undefined) {
  mkdirSync(out, { recursive: true })
  writeFileSync(join(out, 'streams.json'), json(recordOf(results, false)))
  writeFileSync(join(out, 'streams.md'), markdown(machine(rounds), results))
  writeFileSync(join(out, 'streams.svg'), chart(charted(results)))
  console.log(`\nwritten: ${join(out, 'streams.{json,md,svg}')}`)
}

/** What each subject's process is told. */
function subjectsOf({ kind, algorithm, subjects, units, lasting }) {
  const all = values.before
    ? subjects.flatMap(key => (key === 'ours' ? ['before', key] : key))
    : subjects
  return all.map(key => ({
    key,
    lasting,
    module: new URL('./streams/worker.mjs', import.meta.url),
    task: {
      kind,
      subject: key,
      build: builds[key],
      credentials: credentials[algorithm],
      units,
    },
  }))
}

function charted(measured) {
  return {
    title: 'secure-socket, node:tls and node:net',
    subtitle:
      'Work done in a second of CPU time, both ends together; memory: heap. node:tls as people use it = 1.',
    groups: measured.map(({ bench, subjects }) => ({
      title: bench.title,
      note: bench.kind === 'memory' ? 'shorter is better' : 'longer is better',
      target: bench.target,
      bars: subjects.map(subject => ({
        label: subjectTitles[subject.key],
        value: subject.ratio,
        strong: subject.key === 'ours',
      })),
    })),
  }
}

function recordOf(measured, withSamples) {
  return {
    machine: machine(rounds),
    results: measured.map(
      ({ bench: { kind, title, unit, algorithm, target }, subjects, samples }) => ({
        ...{ kind, title, unit, algorithm, target, subjects },
        ...(withSamples ? { samples } : {}),
      }),
    ),
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
