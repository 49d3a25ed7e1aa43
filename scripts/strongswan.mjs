import { mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ensureInstalled } from './ensure-installed.mjs'
import { runInGuest } from './strongswan-guest.mjs'
import { cache, setUp } from './strongswan-setup.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const run = join(cache, `run-${process.pid}`)
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))
process.once('exit', () => rmSync(run, { recursive: true, force: true }))

const end = process.argv.indexOf('--')
const own = process.argv.slice(2, end < 0 ? undefined : end)
const { values, positionals } = parseArgs({
  args: own,
  options: { seconds: { type: 'string' } },
  allowPositionals: true,
})
const files = positionals.map(file => resolve(file).slice(root.length).replace(/\.ts$/, '.js'))
const command =
  end < 0
    ? ['sh', '-c', files.map(file => `on a node --enable-source-maps ${file}`).join(';')]
    : process.argv.slice(end + 1)
ensureInstalled()
const { mirror } = await import('./winsock-mirror.mjs')
setUp()
const tree = join(run, 'tree')
mkdirSync(tree, { recursive: true })
mirror(tree)
symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'))
const code = await runInGuest(command, {
  folder: run,
  tree,
  seconds: Number(values.seconds ?? 120),
  heard: text => process.stdout.write(text),
  env: { CI: 'true' },
})
process.exitCode = code ?? 1
