#!/usr/bin/env node
// What a flood of strangers costs the peers of a datagram socket: npm run bench:hostile [-- --quick]
//
// A server, a flood from 10,000 addresses of 127.0.0.0/8 and an honest peer are a process each (Linux only). It
// takes two to four minutes; `--quick` half of one. `--out DIR` writes DIR/hostile.md, `--channel` chooses the channel.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { quantile } from './statistics.mjs'
import { markdownTable, table } from './table.mjs'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    channel: { type: 'string', default: process.env.SECURE_SOCKET_CHANNEL ?? 'batch' },
    out: { type: 'string' },
  },
})
if (process.platform !== 'linux') {
  console.error('only Linux has all of 127.0.0.0/8')
  process.exit(2)
}
const here = fileURLToPath(new URL('.', import.meta.url))
const out = values.out ?? (values.quick ? undefined : join(here, 'results'))
/** How long a flood takes, about. */
const seconds = values.quick ? 2 : 8
const atOnce = 200
/** Datagrams a second; what a machine has to hear anyway is another figure than what the flood makes it do. */
const paces = [2000, 10_000, undefined]
const floods = [
  { what: 'garbage', title: 'garbage' },
  { what: 'hellos', title: 'hellos without a cookie' },
  { what: 'wrong cookies', title: 'hellos with wrong cookies' },
  { what: 'half-open', title: 'half-open handshakes' },
]

// Where packages are found from, and nobody else looks.
const programs = mkdtempSync(join(here, '../node_modules/.hostile-'))
const children = []
try {
  await build()
  await measure()
} finally {
  for (const child of children) child.kill()
  rmSync(programs, { recursive: true })
}

async function measure() {
  const load = loadavg()[0].toFixed(1)
  const security = await credentials()
  const server = await start(
    'server-program.mjs',
    JSON.stringify({ ...security, maxSessions: 5000 }),
  )
  const { port } = server.said
  const peer = await start('honest-program.mjs', JSON.stringify({ security, port }))
  const flooder = await start('flood-program.mjs')
  await ask(peer.child, { milliseconds: 1000 })

  const before = await ask(server.child, { what: 'settled' })
  const rows = []
  const quiet = await meanwhile(setTimeout(1000 * seconds))
  rows.push(row('nothing', undefined, quiet, quiet))
  for (const { what, title } of floods)
    for (const perSecond of what === 'half-open' ? [undefined] : paces) {
      const flood = sizeOf(what, perSecond)
      const seen = await meanwhile(
        ask(flooder.child, { what, port, atOnce, perSecond, seed: 1, ...flood }),
      )
      rows.push(row(title, perSecond, seen, quiet))
    }
  const most = await ask(server.child, { what: 'now' })
  while ((await ask(server.child, { what: 'now' })).stats.handshaking > 0) await setTimeout(500)
  const after = await ask(server.child, { what: 'settled' })
  show(rows, { load, before, most, after })

  /** The peer's round trips and the server's event loop, until that is over. */
  async function meanwhile(over) {
    await ask(server.child, { what: 'loop' })
    const drops = dropsOf(port)
    const cpu = await cpuTime()
    const begun = performance.now()
    const report = await Promise.all([over, speakUntil(over)]).then(([report, echoes]) => ({
      ...report,
      ...echoes,
    }))
    const took = (performance.now() - begun) / 1000
    const loop = await ask(server.child, { what: 'loop' })
    return { ...report, took, loop, cpu: (await cpuTime()) - cpu, lost: dropsOf(port) - drops }
  }

  /** Of the server, in microseconds. */
  async function cpuTime() {
    const { user, system } = (await ask(server.child, { what: 'now' })).cpu
    return user + system
  }

  async function speakUntil(over) {
    let isOver = false
    over.finally(() => {
      isOver = true
    })
    const all = { times: [], again: 0 }
    while (!isOver) {
      const { times, again } = await ask(peer.child, { milliseconds: 500 })
      all.times.push(...times)
      all.again += again
    }
    return all
  }
}

function sizeOf(what, perSecond = 40_000) {
  if (what === 'half-open') return { addresses: values.quick ? 2000 : 10_000, each: 1 }
  const total = perSecond * seconds
  const addresses = Math.min(10_000, Math.ceil(total / 8))
  // One turn of that flood has five datagrams.
  return { addresses, each: Math.ceil(total / addresses / (what === 'wrong cookies' ? 5 : 1)) }
}

function row(title, perSecond, seen, quiet) {
  const { datagrams = 0, welcomed = 0, took, times, again, loop, lost, cpu } = seen
  const heard = welcomed + datagrams - lost
  // What the echoes of the honest peer cost is known from when there was no flood.
  const each = heard > 0 ? (cpu - (quiet.cpu / quiet.times.length) * times.length) / heard : 0
  const p99 = quantile(times, 0.99)
  const sent = welcomed > 0 ? `${rate(welcomed / took)} handshakes` : rate(datagrams / took)
  return [
    title,
    perSecond === undefined ? '' : rate(perSecond),
    sent,
    datagrams === 0 ? '' : `${((100 * lost) / datagrams).toFixed(1)} %`,
    heard > 0 ? each.toFixed(0) : '',
    rate(times.length),
    String(again),
    quantile(times, 0.5).toFixed(2),
    p99.toFixed(2),
    `${(p99 / quantile(quiet.times, 0.99)).toFixed(1)} ×`,
    loop.p99.toFixed(1),
    loop.most.toFixed(1),
  ]
}

function show(rows, { load, before, most, after }) {
  const head = [
    'flood',
    'asked for, a second',
    'came to, a second',
    'lost before the server',
    'µs of CPU each',
    'echoes',
    'said again',
    'echo, median (ms)',
    'p99',
    'to quiet',
    'event loop, p99 (ms)',
    'at most',
  ]
  const megabytes = ({ memory }) => (memory.rss / 2 ** 20).toFixed(0)
  const held = [
    ['', 'associations in OpenSSL', 'memory (MB)'],
    ['before', String(before.alive), megabytes(before)],
    ['after the last flood', String(most.alive), megabytes(most)],
    ['at most', String(after.most), ''],
    ['when all was quiet again', String(after.alive), megabytes(after)],
  ]
  console.log(`${table([head, ...rows], 1)}\n\n${table(held, 1)}`)
  if (out === undefined) return
  const [{ model }] = cpus()
  const file = values.channel === 'batch' ? 'hostile.md' : `hostile-${values.channel}.md`
  writeFileSync(
    join(out, file),
    `# A flood of strangers

Written by \`npm run bench:hostile\`. Node ${process.versions.node}, linux ${process.arch}, ${availableParallelism()} × ${model}, the ${values.channel} channel, load average ${load} before it.

A server, a flood from up to 10,000 addresses and one secured peer are a process each. The peer has a message echoed
every 2 ms; what has no echo after 200 ms is said again, and its time counts from the beginning. On a machine of two
cores the three processes also wait for each other, and for whatever else runs there, so a ratio is an upper bound of
what the flood does to the server. Where nothing limits the flood, it sends as much as one process can, and the
system drops what the server has no time to read, of the honest peer as of the others: no server can help that.
"µs of CPU each" is what the server takes for a datagram that it has read, or a handshake that begins; it depends
least on what else the machine does. "Event loop" is the delay of a timer of 5 ms. Memory that OpenSSL has freed
stays with the process (glibc keeps it): the next flood uses it again.

${markdownTable([head, ...rows], 1)}

${markdownTable(held, 1)}
`,
  )
}

function rate(number) {
  return Math.round(number).toLocaleString('en')
}

/** Datagrams to that port which the system has dropped. */
function dropsOf(port) {
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  for (const line of readFileSync('/proc/net/udp', 'utf8').split('\n')) {
    const fields = line.trim().split(/\s+/)
    if (fields[1]?.endsWith(end)) return Number(fields.at(-1))
  }
  return 0
}

/** The programs of the tests, and the peer. */
async function build() {
  const { build } = await import('esbuild')
  const tests = join(here, '../test/hostile/exhaustion')
  await build({
    entryPoints: {
      'server-program': join(tests, 'server-program.ts'),
      'flood-program': join(tests, 'flood-program.ts'),
      'honest-program': join(here, 'hostile/honest-program.mjs'),
      index: join(here, '../src/index.ts'),
    },
    outdir: programs,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
  })
}

async function credentials() {
  const { createAuthority, createIdentity } = await import(join(programs, 'index.mjs'))
  const authority = await createAuthority()
  const { cert, key, ca } = await createIdentity({ authority, names: ['127.0.0.1'] })
  return { cert, key, ca }
}

async function start(program, ...args) {
  const child = fork(join(programs, program), args, {
    execArgv: ['--expose-gc'],
    env: { ...process.env, SECURE_SOCKET_CHANNEL: values.channel },
  })
  children.push(child)
  const ended = once(child, 'exit').then(() => Promise.reject(new Error(`${program} has ended`)))
  const [said] = await Promise.race([once(child, 'message'), ended])
  ended.catch(() => {})
  return { child, said }
}

async function ask(child, question) {
  const answered = once(child, 'message')
  child.send(question)
  return (await answered)[0]
}
