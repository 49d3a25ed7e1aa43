// npm run soak: half an hour of mixed life in one process, streams and datagrams, with loss, wrong peers and
// strangers. Says each minute what is held, and fails if that grows.
// npm run soak -- [--minutes 30] [--seed N]

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { ensureInstalled } from './ensure-installed.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const { values } = parseArgs({ options: { minutes: { type: 'string' }, seed: { type: 'string' } } })
const minutes = Number(values.minutes ?? 30)
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32))
if (!Number.isInteger(minutes) || minutes < 1) throw new Error(`--minutes is ${values.minutes}`)
if (!Number.isInteger(seed)) throw new Error(`--seed is ${values.seed}`)

ensureInstalled()
// They import what may just have been installed.
const { mirror } = await import('./mirror.mjs')
const folder = mkdtempSync(join(tmpdir(), 'secure-socket-soak-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
mirror(folder)
symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))

const at = path => join(folder, path)
const identities = await import(pathToFileURL(at('test/support/identities.js')).href)
const plain = ({ cert, key, ca }) => ({ cert, key, ca })
const work = {
  minutes,
  seed,
  server: plain(await identities.testIdentity()),
  client: plain(await identities.testIdentity(['client.example', '127.0.0.1'])),
  stranger: plain(await identities.strangerIdentity()),
}
console.log(`${minutes} minutes on Node ${process.versions.node}, seed ${seed}`)
const args = ['--expose-gc', '--no-warnings', at('test/hostile/life/soak-program.js')]
const child = spawn(process.execPath, [...args, JSON.stringify(work)], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => child.kill())
child.once('exit', (code, signal) => {
  if (signal) console.log(`not ok: it was ended by ${signal}`)
  process.exit(code ?? 1)
})
