#!/usr/bin/env node
// One port and one or two processes that share it (reusePort): how much more two can deal with.
// Linux only. Takes two minutes; `--quick` half of one. `--out DIR` writes DIR/scaling.md.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { median } from './statistics.mjs'
import { markdownTable, table } from './table.mjs'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    channel: { type: 'string' },
    out: { type: 'string' },
  },
})
const out =
  values.out ?? (values.quick ? undefined : fileURLToPath(new URL('results', import.meta.url)))
const dist = fileURLToPath(new URL('../dist', import.meta.url))
if (process.platform !== 'linux')
  fail('only Linux shares a port among the processes that ask for it')
if (!existsSync(join(dist, 'dgram.js'))) fail(`${dist} holds no build: npm run build`)

const rounds = values.quick ? 1 : 5
const seconds = values.quick ? 1 : 2
const peers = 64
const burst = 32
/** What the application does with a message, besides having it. */
const works = [
  { title: 'nothing', kilobytes: 0 },
  { title: 'SHA-256 of 16 KiB', kilobytes: 16 },
  { title: 'SHA-256 of 64 KiB', kilobytes: 64 },
]
const security = await credentials()

const load = loadavg()[0].toFixed(1)
const results = new Map()
for (let round = 0; round < rounds; round++) {
  for (const work of works) {
    for (const processes of [1, 2]) {
      const key = `${work.title} ${processes}`
      const measured = results.get(key) ?? []
      measured.push(await measure(processes, work.kilobytes))
      results.set(key, measured)
    }
  }
}
show()

/** Messages per second and CPU time while so many processes have the port. */
async function measure(processes, kilobytes) {
  const { channel } = values
  const given = { dist, security, kilobytes, burst, peers, channel }
  const servers = []
  let port = 0
  for (let i = 0; i < processes; i++) {
    const server = start('server', { ...given, port })
    ;[port] = await once(server, 'message')
    servers.push(server)
  }
  const clients = start('clients', { ...given, port })
  await once(clients, 'message')
  await setTimeout(500 * seconds)

  const all = [clients, ...servers]
  const began = performance.now()
  const before = await Promise.all(all.map(ask))
  await setTimeout(1000 * seconds)
  const after = await Promise.all(all.map(ask))
  const wall = (performance.now() - began) / 1000
  for (const child of all) child.disconnect()
  await Promise.all(all.map(child => once(child, 'exit')))

  const [clientCpu, ...cpus] = all.map((_, i) => (after[i].cpu - before[i].cpu) / 1e6)
  const [, ...messages] = all.map((_, i) => after[i].messages - before[i].messages)
  const sum = numbers => numbers.reduce((one, other) => one + other, 0)
  return {
    perSecond: sum(messages) / wall,
    cores: sum(cpus) / wall,
    clientCores: clientCpu / wall,
    microseconds: (sum(cpus) / sum(messages)) * 1e6,
    least: Math.min(...after.slice(1).map(each => each.peers)),
  }
}

function start(program, options) {
  const file = fileURLToPath(new URL(`scaling/${program}.mjs`, import.meta.url))
  return fork(file, [JSON.stringify(options)])
}

async function ask(child) {
  child.send('how much?')
  return (await once(child, 'message'))[0]
}

async function credentials() {
  const { createAuthority, createIdentity } = await import(`${dist}/index.js`)
  const authority = await createAuthority()
  const { cert, key, ca } = await createIdentity({ authority, names: ['127.0.0.1'] })
  return { cert, key, ca }
}

function show() {
  const head = [
    'work for each message',
    'processes',
    'messages per second',
    'more',
    'µs of CPU each',
    'cores of the servers',
    'cores of the peers',
    'fewest peers of a process',
  ]
  const rows = works.flatMap(({ title }) =>
    [1, 2].map(processes => {
      const measured = results.get(`${title} ${processes}`)
      const of = key => median(measured.map(each => each[key]))
      const alone = results.get(`${title} 1`)
      const more = median(measured.map((each, i) => each.perSecond / alone[i].perSecond))
      return [
        processes === 1 ? title : '',
        String(processes),
        Math.round(of('perSecond')).toLocaleString('en'),
        `${more.toFixed(2)} ×`,
        of('microseconds').toFixed(1),
        of('cores').toFixed(2),
        of('clientCores').toFixed(2),
        String(Math.min(...measured.map(each => each.least))),
      ]
    }),
  )
  console.log(`${table([head, ...rows], 1)}\n`)
  if (out === undefined) return
  const [{ model }] = cpus()
  writeFileSync(
    join(out, 'scaling.md'),
    `# One port, several processes

Written by \`npm run bench:scaling\`. Node ${process.versions.node}, linux ${process.arch}, ${availableParallelism()} × ${model}, ${rounds} rounds of ${seconds} s, load average ${load} before them.

${peers} peers in one process send messages of 64 bytes in bursts of ${burst}, each burst when the last one was
dealt with, to a port that one or two processes share (\`reusePort\`). The peers run on the same machine, and
take of its cores what they need: where messages cost the servers little, they are the limit, and not the
port. What shows that processes do not get in each other's way is the CPU time of a message, which stays
the same. Which peer belongs to which process is the system's choice, so they have not equally many.

${markdownTable([head, ...rows], 1)}
`,
  )
}

function fail(message) {
  console.error(message)
  process.exit(2)
}
