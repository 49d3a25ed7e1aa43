#!/usr/bin/env node
// Secured datagrams against plain node:dgram and the packages of npm that speak DTLS: what they cost
// in CPU and memory. See bench/README.md for how it measures and why.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { alternate } from './alternate.mjs'
import { chart } from './chart.mjs'
import { atMostPlain, beforeOf, benches, kinds, peers, titleOf } from './datagrams/benches.mjs'
import { makeCredentials } from './datagrams/credentials.mjs'
import { ensurePeers } from './datagrams/peers.mjs'
import { machine, markdown, tables } from './datagrams/report.mjs'
import { summarise } from './datagrams/summary.mjs'
import { table } from './table.mjs'

const usage = `npm run bench:datagrams -- [options]

--only KIND      only ${kinds.join(', ')}; can be given several times
--subject KEY    only these, such as ours, dgram or werift-dtls; can be given several times
--rounds N       rounds that are measured, after a warm-up (11; with --quick 5); for memory a fifth
--quick          less of it, for a first look
--json FILE      write every measurement to a file
--out DIR        write datagrams.json, datagrams.md and datagrams.svg there
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

const rounds = Number(values.rounds ?? (values.quick ? 5 : 11))
const unknown = values.only.find(kind => !kinds.includes(kind))
if (unknown !== undefined) fail(`--only ${unknown}: use ${kinds.join(', ')}`)
if (!(Number.isInteger(rounds) && rounds > 0)) fail(`--rounds ${values.rounds}: give a number`)

const build = resolve(values.dist)
const before = values.before && resolve(values.before)
for (const each of [build, before].filter(Boolean)) {
  if (!existsSync(join(each, 'dgram.cjs'))) fail(`${each} holds no build: npm run build`)
}

const wanted = benches
  .filter(({ kind }) => values.only.includes(kind))
  // What takes longest says little more than its smaller sister.
  .filter(({ kind, units }) => !(values.quick && kind === 'memory' && units > 1000))
  .map(bench => ({ ...bench, subjects: bench.subjects.filter(isWanted) }))
  .filter(({ subjects }) => subjects.length > 0)

const complete =
  kinds.every(kind => values.only.includes(kind)) &&
  !(values.quick || values.before || values.subject)
const out =
  values.out ?? (complete ? fileURLToPath(new URL('results', import.meta.url)) : undefined)

ensurePeers(peers.filter(key => isWanted({ key })))
const credentials = await makeCredentials(build)
const results = []
const measurements = []
for (const bench of wanted) {
  const name = `${bench.kind}, ${bench.title}`
  progress(name)
  const all = Math.ceil(rounds * bench.rounds)
  const samples = await alternate(subjectsOf(bench), all, round => {
    progress(`${name}  ${round} of ${all}`)
  })
  results.push(...summarise(bench, samples))
  measurements.push({ kind: bench.kind, title: bench.title, samples })
}
progress('')

console.log(`${machine(rounds).text}\n`)
console.log(tables(results).map(table).join('\n\n'))

if (values.json) writeFileSync(values.json, json({ ...recordOf(results), measurements }))
if (out !== undefined) {
  mkdirSync(out, { recursive: true })
  writeFileSync(join(out, 'datagrams.json'), json(recordOf(results)))
  writeFileSync(join(out, 'datagrams.md'), markdown(machine(rounds), results))
  writeFileSync(join(out, 'datagrams.svg'), chart(charted(results)))
  console.log(`\nwritten: ${join(out, 'datagrams.{json,md,svg}')}`)
}

function isWanted({ key }) {
  return values.subject === undefined || values.subject.includes(key)
}

/** What each subject's process is told. */
function subjectsOf({ kind, subjects, units, warmUp, size, resume }) {
  return subjects.flatMap(({ key, part = 1, ...more }) => {
    const task = {
      kind,
      subject: key,
      credentials,
      units: units * part,
      size,
      resume,
      warmUp,
      ...more,
    }
    const module = new URL('./datagrams/worker.mjs', import.meta.url)
    const ours = { key, lasting: warmUp > 0, module, task: { ...task, build } }
    if (!(before && key.startsWith('ours'))) return ours
    return [{ ...ours, key: beforeOf(key), task: { ...ours.task, build: before } }, ours]
  })
}

/** Work per CPU time, so that a longer bar is better, as in the chart of streams. */
function charted(measured) {
  return {
    title: 'secure-socket, two npm packages and node:dgram',
    subtitle: 'Datagrams in a second of CPU time of the one end. node:dgram, without security = 1.',
    groups: measured
      .filter(({ bench }) => bench.kind === 'datagrams')
      .map(({ title, subjects }) => ({
        title,
        note: 'longer is better',
        target: 1 / atMostPlain,
        bars: subjects
          .filter(({ plain }) => plain !== undefined)
          .map(({ key, plain }) => ({
            label: titleOf(key),
            value: 1 / plain.median,
            strong: key.startsWith('ours'),
          })),
      })),
  }
}

function recordOf(measured) {
  return {
    machine: machine(rounds),
    results: measured.map(({ bench: { kind, size, resume, units }, ...result }) => ({
      ...{ kind, size, resume, units },
      ...result,
    })),
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
