// What `secure-socket/register` costs a program: npm run build && npm run bench:register [-- ROUNDS]
//
// At its start: a program that does nothing, and one that loads http, with and without it. And where the
// policy leaves all in clear: a connection and a datagram. All are processes of their own, in turns.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { quantile } from './statistics.mjs'
import { markdownTable } from './table.mjs'

const rounds = Number(process.argv[2] ?? 30)
const file = name => fileURLToPath(new URL(name, import.meta.url))
const asItIs = 'as it is'
const ways = {
  [asItIs]: [],
  '--require': ['--require', file('../dist/register.cjs')],
  '--import': ['--import', pathToFileURL(file('../dist/register.js')).href],
}
const report = 'process.stdout.write(JSON.stringify({ cpu: process.cpuUsage() }))'

console.log(`Node ${process.versions.node}, ${rounds} rounds, medians, "more" within each round\n`)
console.log(starts())
console.log(`\n${inClear()}`)

function starts() {
  const programs = { nothing: report, http: `require('node:http');${report}` }
  const rows = Object.entries(programs).flatMap(([name, code]) =>
    compared(name, Object.keys(ways), way => {
      const began = process.hrtime.bigint()
      const { cpu } = run([...ways[way], '-e', code])
      const wall = Number(process.hrtime.bigint() - began) / 1e6
      return { wall, cpu: (cpu.user + cpu.system) / 1000 }
    }),
  )
  return markdownTable([['A program', 'started', 'wall, ms', 'more', 'CPU, ms', 'more'], ...rows])
}

function inClear() {
  const directory = mkdtempSync(join(tmpdir(), 'secure-socket-bench-'))
  try {
    const policy = join(directory, 'policy.json')
    writeFileSync(policy, JSON.stringify({ clear: [{ loopback: true }] }), { mode: 0o600 })
    const program = [file('register-clear.mjs')]
    const rows = compared('loopback', [asItIs, '--require'], way =>
      run([...ways[way], ...program], { SECURE_SOCKET_POLICY: policy }),
    )
    return markdownTable([
      ['All in clear', 'started', 'connection, us of CPU', 'more', 'datagram, us of CPU', 'more'],
      ...rows,
    ])
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** A line for each way, each with what it costs more than the first. */
function compared(name, names, measure) {
  const samples = Object.fromEntries(names.map(way => [way, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const way of names) {
      const sample = measure(way)
      // The first of each fills the caches of the file system.
      if (round > 0) samples[way].push(sample)
    }
  }
  const first = samples[names[0]]
  return names.map(way => [
    name,
    way,
    ...Object.keys(first[0]).flatMap(key => {
      const more = samples[way].map((sample, round) => sample[key] - first[round][key])
      return [
        middle(samples[way].map(sample => sample[key])),
        way === names[0] ? '' : signed(middle(more)),
      ]
    }),
  ])
}

function run(args, variables = {}) {
  const env = { ...process.env, ...variables }
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', env }))
}

function middle(values) {
  return quantile(values, 0.5).toFixed(1)
}

function signed(text) {
  return text.startsWith('-') ? text : `+${text}`
}
