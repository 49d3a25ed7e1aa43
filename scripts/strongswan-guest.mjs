// A Linux of its own that runs as a program of an ordinary user, with this machine's file system below
// a writable layer, and with three hosts in it that have strongSwan and are connected with each other.

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { StringDecoder } from 'node:string_decoder'
import { fileURLToPath } from 'node:url'
import { makeIdentities } from './strongswan-identities.mjs'
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
 * @param {string} options.folder exists, and is this run's own; the guest can write to it
 * @param {string} options.tree where the command starts
 * @param {number} options.seconds after which the guest ends, whatever it does
 * @param {Record<string, string>} [options.env]
 * @param {(text: string) => void} options.heard what the guest prints
 * @returns {Promise<number | null>} the command's exit code, null where it did not come to its end
 */
export async function runInGuest(command, { folder, tree, seconds, env = {}, heard }) {
  const job = join(folder, `guest-${++boots}`)
  mkdirSync(job)
  makeIdentities(join(job, 'identities'))
  const variables = Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}\n`)
  writeFileSync(
    join(job, 'command.sh'),
    `export PATH=${quoted(dirname(process.execPath))}:"$PATH"\n${variables.join('')}cd ${quoted(tree)}\n${command.map(quoted).join(' ')}\n`,
  )

  const guest = spawn(
    kernel,
    [
      `mem=${megabytes}M`,
      'root=/dev/root',
      'rootfstype=hostfs',
      'rootflags=/',
      'ro',
      `init=${init}`,
      'con=null',
      'con0=null,fd:1',
      'quiet',
      'loglevel=3',
      // A guest that has run wild ends, and is seen to.
      'panic=1',
      `uml_dir=${job}/`,
      `LAYER=${layer}`,
      `JOB=${job}`,
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { PATH: process.env.PATH, TMPDIR: placeForMemory(job) },
    },
  )
  guests.add(guest)
  listen(guest.stdout, heard)
  // The kernel's own start, which only matters where it does not.
  let complaints = ''
  listen(guest.stderr, text => {
    complaints += text
  })
  const timer = setTimeout(() => {
    heard(`\nThe guest did not end within ${seconds} s.\n`)
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

function listen(stream, heard) {
  const decoder = new StringDecoder('utf8')
  stream.on('data', bytes => heard(decoder.write(bytes).replaceAll('\r', '')))
}

/** The guest's memory is a file, which is fastest where the file itself is memory. */
function placeForMemory(otherwise) {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm')
    if (bavail * bsize > 2 * megabytes * 2 ** 20) return '/dev/shm'
  } catch {}
  return otherwise
}

/** The kernel is many processes, in a group of their own. */
function kill(guest) {
  try {
    process.kill(-guest.pid, 'SIGKILL')
  } catch {}
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`
}
