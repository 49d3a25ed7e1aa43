#!/usr/bin/env node
// Finds out, on real Windows machines, what this library assumes of Windows. Starts main.ts, which
// uses the library's sources: it sends what the library itself never would.

import { mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const here = dirname(fileURLToPath(import.meta.url))
// Within node_modules of the checkout, so that the bundle finds koffi as the library does.
const folder = join(here, '../../node_modules/.windows-check')
const file = join(folder, `${process.pid}.mjs`)

await mkdir(folder, { recursive: true })
await build({
  entryPoints: [join(here, 'main.ts')],
  outfile: file,
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node20',
  logLevel: 'warning',
})
const { main } = await import(pathToFileURL(file).href)
await rm(file)
process.exitCode = await main(process.argv.slice(2))
