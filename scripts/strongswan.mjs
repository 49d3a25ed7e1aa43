// npm run test:strongswan: the tests of the strongSwan provider, with a real daemon and real packets, in
// a Linux that runs as a program. For Debian; fetches what is missing, installs nothing, needs no root.
// node scripts/strongswan.mjs [FILE…]: these files only, each on host a.
// node scripts/strongswan.mjs [--seconds 120] -- COMMAND…: the command in a guest of its own.

import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ensureInstalled } from './ensure-installed.mjs'
import { runAgainWhatFails } from './run-files.mjs'
import { runInGuest } from './strongswan-guest.mjs'
import { makeIdentities } from './strongswan-identities.mjs'
import { cache, setUp } from './strongswan-setup.mjs'
import { add, showFile, summary } from './test-output.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Guests that share the files; each is a process that is busy most of the time. */
const jobs = Math.min(4, Math.max(2, availableParallelism()))
// They take 5 to 40; a machine that is busy is not the tests' fault.
const secondsPerFile = 300

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
  try {
    prepare()
    return await runAgainWhatFails(files, (each, { again }) => share(each, again ? 1 : jobs))
  } catch (error) {
    console.error(`The strongSwan tests were not run: ${error.message}`)
    const counts = { passed: 0, failed: 0, skipped: 0 }
    counts[process.env.CI === 'true' ? 'failed' : 'skipped']++
    return counts
  }
}

function prepare() {
  setUp()
  mkdirSync(tree, { recursive: true })
  mirror(tree)
  symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'))
  makeIdentities(join(run, 'identities'))
}

/** Runs the files, in so many guests at the same time. Throws an Error where no guest starts. */
async function share(files, guests) {
  const result = { passed: 0, failed: 0, skipped: 0 }
  const waiting = queue(files)
  const failedFiles = []
  let started = false
  let said = ''
  const heard = line => {
    const [, note, code, seconds] = /^@ended (\d+) (\d+) ([\d.]+)$/.exec(line) ?? []
    if (line === '@started') started = true
    else if (note !== undefined) ended(note, Number(code), Number(seconds))
    else if (started) console.log(line)
    else said += `${line}\n`
  }
  const ended = (note, code, seconds) => {
    const file = waiting.get(note)
    waiting.delete(note)
    const output = readFileSync(join(run, 'taken', `${note}.tap`), 'utf8')
    // What `timeout` says of what it ends.
    const late = code === 124 || code === 137 ? secondsPerFile : undefined
    const counts = showFile(file, { output, code, late, seconds })
    if (counts.failed > 0) failedFiles.push(file)
    add(result, counts)
  }
  const seconds = 60 + secondsPerFile * files.length
  // Whoever names files wants to know lines; for all of them the maps cost a third of the time.
  const flags = positionals.length > 0 ? '--enable-source-maps' : ''
  const env = { SECONDS_PER_FILE: String(secondsPerFile), CI: 'true', NODE_FLAGS: flags }
  const command = ['sh', 'test/strongswan/guest/run-files.sh']
  const options = { folder: run, tree, seconds, env, heard }
  const number = Math.min(guests, files.length)
  await Promise.all(Array.from({ length: number }, () => runInGuest(command, options)))
  if (!started) throw new Error(`the kernel did not start as a program:\n${said}`)
  for (const file of waiting.values()) {
    console.log(`not ok - ${file} did not come to its end, its guest neither`)
    result.failed++
    failedFiles.push(file)
  }
  return { ...result, failedFiles }
}

/** Every file has a note with its name there, and whichever guest takes the note runs the file. */
function queue(files) {
  const waiting = new Map()
  for (const folder of ['queue', 'taken']) {
    rmSync(join(run, folder), { recursive: true, force: true })
    mkdirSync(join(run, folder))
  }
  files.forEach((file, index) => {
    const note = String(index).padStart(3, '0')
    writeFileSync(join(run, 'queue', note), `${file.replace(/\.ts$/, '.js')}\n`)
    waiting.set(note, file)
  })
  return waiting
}

function tests() {
  return (
    readdirSync(join(root, 'test/strongswan'), { recursive: true })
      .filter(name => name.endsWith('.test.ts'))
      .map(name => join('test/strongswan', name))
      .sort()
      // The longest first, so that at the end no guest waits for another.
      .sort((one, other) => Number(other.includes('rules-')) - Number(one.includes('rules-')))
  )
}

function relative(file) {
  return resolve(file).slice(root.length)
}
