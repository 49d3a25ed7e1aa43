// npm run test:strongswan: the tests of the strongSwan provider, with a real daemon and real packets, in
// a Linux that runs as a program. For Debian; fetches what is missing, installs nothing, needs no root.
// node scripts/strongswan.mjs [FILE…]: these files only, each on host a.
// node scripts/strongswan.mjs [--seconds 120] -- COMMAND…: the command in a guest of its own.

import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ensureInstalled } from './ensure-installed.mjs'
import { runInGuest } from './strongswan-guest.mjs'
import { makeIdentities } from './strongswan-identities.mjs'
import { cache, setUp } from './strongswan-setup.mjs'
import { summary } from './tap.mjs'
import { add, showFile } from './tap-output.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Guests that share the files. */
const jobs = 2
const secondsPerFile = 90

const end = process.argv.indexOf('--')
const { values, positionals } = parseArgs({
  args: process.argv.slice(2, end < 0 ? undefined : end),
  options: { seconds: { type: 'string', default: '120' } },
  allowPositionals: true,
})

const run = join(cache, `run-${process.pid}`)
const tree = join(run, 'tree')
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))
process.once('exit', () => rmSync(run, { recursive: true, force: true }))

ensureInstalled()
// It imports what may just have been installed.
const { mirror } = await import('./mirror.mjs')

if (end >= 0) process.exitCode = await runCommand(process.argv.slice(end + 1))
else {
  const total = await runFiles(positionals.length > 0 ? positionals.map(relative) : tests())
  console.log(`\n${summary(total)}`)
  process.exitCode = total.failed === 0 ? 0 : 1
}

async function runCommand(command) {
  prepare()
  const seconds = Number(values.seconds)
  return (await runInGuest(command, { folder: run, tree, seconds, heard: console.log })) ?? 1
}

async function runFiles(files) {
  const total = { passed: 0, failed: 0, skipped: 0 }
  try {
    prepare()
  } catch (error) {
    console.error(`The strongSwan tests were not run: ${error.message}`)
    total[process.env.CI === 'true' ? 'failed' : 'skipped']++
    return total
  }
  const waiting = queue(files)
  const guests = Math.min(jobs, files.length)
  await Promise.all(Array.from({ length: guests }, () => work(waiting, total)))
  for (const file of waiting.values()) {
    console.log(`not ok - ${file} was not run`)
    total.failed++
  }
  return total
}

function prepare() {
  setUp()
  mkdirSync(tree, { recursive: true })
  mirror(tree)
  symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'))
  makeIdentities(join(run, 'identities'))
}

/** Every file has a note with its name there, and whichever guest takes the note runs the file. */
function queue(files) {
  const waiting = new Map()
  for (const folder of ['queue', 'taken']) mkdirSync(join(run, folder))
  files.forEach((file, index) => {
    const note = String(index).padStart(3, '0')
    writeFileSync(join(run, 'queue', note), `${file.replace(/\.ts$/, '.js')}\n`)
    waiting.set(note, file)
  })
  return waiting
}

async function work(waiting, total) {
  const heard = line => {
    const [, note, code, seconds] = /^@ended (\d+) (\d+) ([\d.]+)$/.exec(line) ?? []
    if (note === undefined) console.log(line)
    else add(total, show(note, Number(code), Number(seconds)))
  }
  const show = (note, code, seconds) => {
    const file = waiting.get(note)
    waiting.delete(note)
    const output = readFileSync(join(run, 'taken', `${note}.tap`), 'utf8')
    const late = code >= 124 && seconds >= secondsPerFile ? secondsPerFile : undefined
    return showFile(file, { output, code, late, seconds })
  }
  const seconds = 30 + secondsPerFile * Math.max(4, waiting.size)
  const env = { SECONDS_PER_FILE: String(secondsPerFile), CI: 'true' }
  const command = ['sh', 'test/strongswan/guest/run-files.sh']
  const code = await runInGuest(command, { folder: run, tree, seconds, env, heard })
  if (code === 0) return
  console.log('not ok - the guest did not come to its end')
  total.failed++
}

function tests() {
  return readdirSync(join(root, 'test/strongswan'), { recursive: true })
    .filter(name => name.endsWith('.test.ts'))
    .map(name => join('test/strongswan', name))
    .sort()
}

function relative(file) {
  return resolve(file).slice(root.length)
}
