// A Linux of its own that runs as a program of an ordinary user, with this machine's file system below
// a writable layer, and with three hosts in it that have strongSwan and are connected with each other:
// test/strongswan/guest/hosts.sh says which.

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { kernel, layer } from './strongswan-setup.mjs'

const init = fileURLToPath(new URL('../test/strongswan/guest/init.sh', import.meta.url))
const megabytes = 768
const guests = new Set()
let boots = 0

process.once('exit', () => {
  for (const guest of guests) kill(guest)
})

/**
 * Boots a guest, runs a command in it, and ends it.
 *
 * @param {string[]} command
 * @param {object} options
 * @param {string} options.folder this run's own, with `identities` in it; the guest can write to it
 * @param {string} options.tree where the command starts
 * @param {number} options.seconds after which the guest ends, whatever it does
 * @param {Record<string, string>} [options.env]
 * @param {(line: string) => void} options.heard what the guest prints
 * @returns {Promise<number | null>} the command's exit code, null where it did not come to its end
 */
export async function runInGuest(command, { folder, tree, seconds, env = {}, heard }) {
  const job = join(folder, `guest-${++boots}`)
  mkdirSync(job)
  writeFileSync(join(job, 'command.sh'), script(command, tree, env))
  const args = [
    `mem=${megabytes}M`,
    // The machine's own files, which nobody in the guest can write to.
    ...['root=/dev/root', 'rootfstype=hostfs', 'rootflags=/', 'ro', `init=${init}`],
    ...['con=null', 'con0=null,fd:1', 'quiet', 'loglevel=3'],
    // A guest that has run wild ends, and is seen to.
    'panic=1',
    `uml_dir=${job}/`,
    // These three are for init.
    ...[`LAYER=${layer}`, `RUN=${folder}`, `JOB=${job}`],
  ]
  const guest = spawn(kernel, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: { PATH: process.env.PATH, TMPDIR: placeForMemory(job) },
  })
  guests.add(guest)
  listen(guest.stdout, line => {
    if (line === '@guest ended') kill(guest)
    else heard(line)
  })
  // The kernel's own words, which only matter where it does not start.
  let complaints = ''
  listen(guest.stderr, line => {
    complaints += `${line}\n`
  })
  const timer = setTimeout(() => {
    heard(`The guest did not end within ${seconds} s.`)
    kill(guest)
  }, seconds * 1000)
  await new Promise((resolve, reject) => {
    guest.once('error', reject)
    guest.once('close', resolve)
  })
  clearTimeout(timer)
  guests.delete(guest)

  const result = join(job, 'exit-code')
  const code = existsSync(result) ? Number(readFileSync(result, 'utf8')) : null
  if (code === null) heard(complaints)
  rmSync(job, { recursive: true, force: true })
  return code
}

function script(command, tree, env) {
  // The guest runs the Node that runs this.
  const path = `export PATH=${quoted(dirname(process.execPath))}:"$PATH"`
  const variables = Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}`)
  const lines = [path, ...variables, `cd ${quoted(tree)}`, command.map(quoted).join(' ')]
  return `${lines.join('\n')}\n`
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`
}

function listen(input, heard) {
  createInterface({ input, crlfDelay: Infinity }).on('line', heard)
}

/** The guest's memory is a file, which is fastest where that is memory itself. */
function placeForMemory(otherwise) {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm')
    if (bavail * bsize > 4 * megabytes * 2 ** 20) return '/dev/shm'
  } catch {}
  return otherwise
}

/** The guest is many processes, which are a group. */
function kill(guest) {
  try {
    process.kill(-guest.pid, 'SIGKILL')
  } catch {}
}
