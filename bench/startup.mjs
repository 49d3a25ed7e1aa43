// What `secure-socket/register` adds to the start of a program: npm run build && npm run bench:startup.
// A program that does nothing, and one that loads http, are started in turns, with and without it.

import { execFileSync } from 'node:child_process'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { quantile } from './statistics.mjs'
import { markdownTable } from './table.mjs'

const rounds = Number(process.argv[2] ?? 40)
const file = name => fileURLToPath(new URL(`../dist/${name}`, import.meta.url))
const ways = {
  'as it is': [],
  '--require': ['--require', file('register.cjs')],
  '--import': ['--import', pathToFileURL(file('register.js')).href],
}
const programs = { nothing: '', http: `require('node:http');` }
const report = 'process.stdout.write(String(process.cpuUsage().user + process.cpuUsage().system))'

const samples = {}
for (let round = 0; round <= rounds; round++) {
  for (const [program, code] of Object.entries(programs)) {
    for (const [way, options] of Object.entries(ways)) {
      const measured = start(options, `${code}${report}`)
      // The first of each fills the caches of the file system.
      if (round === 0) continue
      samples[program] ??= {}
      samples[program][way] ??= []
      samples[program][way].push(measured)
    }
  }
}

const head = ['Program', 'Started', 'wall, ms', 'more', 'CPU, ms', 'more']
const rows = Object.entries(samples).flatMap(([program, byWay]) =>
  Object.entries(byWay).map(([way, values]) => [
    program,
    way,
    ...['wall', 'cpu'].flatMap(key => {
      const more = values.map((value, round) => value[key] - byWay['as it is'][round][key])
      return [middle(values.map(value => value[key])), way === 'as it is' ? '' : `+${middle(more)}`]
    }),
  ]),
)
console.log(`Node ${process.versions.node}, ${rounds} rounds, medians, "more" within each round\n`)
console.log(markdownTable([head, ...rows]))

function start(options, code) {
  const began = process.hrtime.bigint()
  const cpu = Number(execFileSync(process.execPath, [...options, '-e', code], { encoding: 'utf8' }))
  return { wall: Number(process.hrtime.bigint() - began) / 1e6, cpu: cpu / 1000 }
}

function middle(values) {
  return quantile(values, 0.5).toFixed(1)
}
