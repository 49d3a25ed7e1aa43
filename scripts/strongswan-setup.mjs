// What the strongSwan tests need beside Node: a Linux kernel that runs as a program, strongSwan, and
// tcpdump, as Debian has them. Nothing is installed: the packages are unpacked to .strongswan/.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Where all of it is kept. */
export const cache = join(root, '.strongswan')

const packages = [
  'user-mode-linux',
  // strongSwan
  'libstrongswan',
  'libstrongswan-standard-plugins',
  'strongswan-libcharon',
  'libcharon-extra-plugins',
  'charon-systemd',
  'strongswan-swanctl',
  // The guest's tools. `ip` and `openssl` are the host's.
  'kmod',
  'libkmod2',
  'iputils-ping',
  'tcpdump',
  'libpcap0.8',
  'iptables',
  'libip4tc2',
  'libip6tc2',
  'libxtables12',
  // What a bare Debian lacks of their libraries.
  'libcap2',
  'libdbus-1-3',
]

// Another list of packages, another folder: a guest may run on the one that is there.
const version = createHash('sha256').update(packages.join()).digest('hex').slice(0, 8)

/** What lies over the machine's own file system in the guest. */
export const layer = join(cache, `layer-${version}`)

/** The kernel. */
export const kernel = join(layer, 'usr/bin/linux.uml')

/** Fetches what is missing. Throws an Error that says what could not be had. */
export function setUp() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error('user-mode Linux runs on a Linux for x64 only')
  mkdirSync(cache, { recursive: true })
  removeAbandoned()
  if (!existsSync(kernel)) makeLayer()
}

function makeLayer() {
  console.log('Fetching a kernel and strongSwan …')
  const fresh = join(cache, `fresh-${process.pid}`)
  const debs = join(fresh, 'debs')
  mkdirSync(debs, { recursive: true })
  download(debs)
  for (const name of readdirSync(debs))
    if (!run('dpkg', ['-x', join(debs, name), fresh], fresh))
      throw new Error(`dpkg could not unpack ${name}`)
  rmSync(debs, { recursive: true })

  // A folder would hide the host's link of that name.
  for (const name of ['bin', 'sbin', 'lib']) {
    if (!existsSync(join(fresh, name))) continue
    const options = { recursive: true, verbatimSymlinks: true }
    cpSync(join(fresh, name), join(fresh, 'usr', name), options)
    rmSync(join(fresh, name), { recursive: true })
  }
  renameSync(join(fresh, 'usr/lib/uml/modules'), join(fresh, 'usr/lib/modules'))
  for (const name of ['insmod', 'modprobe']) {
    rmSync(join(fresh, 'usr/sbin', name), { force: true })
    symlinkSync('../bin/kmod', join(fresh, 'usr/sbin', name))
  }
  try {
    renameSync(fresh, layer)
  } catch {
    // Another run was faster.
    rmSync(fresh, { recursive: true, force: true })
  }
}

// Mirrors fail now and then; and a list of packages that is older than theirs fails for good.
function download(folder) {
  const get = () => run('apt-get', ['-q', 'download', ...packages], folder)
  if (get()) return
  const sudo = process.getuid() === 0 ? [] : ['sudo', '-n']
  const [program, ...args] = [...sudo, 'apt-get', '-q', 'update']
  run(program, args, folder)
  if (!get()) throw new Error(`apt-get could not download ${packages.join(', ')}`)
}

/** What runs have left that were killed. */
function removeAbandoned() {
  for (const name of readdirSync(cache)) {
    const owner = /^(?:run|fresh)-(\d+)$/.exec(name)?.[1]
    if (owner && !isAlive(Number(owner)))
      rmSync(join(cache, name), { recursive: true, force: true })
  }
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function run(program, args, cwd) {
  const { status } = spawnSync(program, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] })
  return status === 0
}
