// npm run fuzz -- PARSER|all SECONDS [SEED]: gives a parser of ours inputs that nobody has thought of,
// guided by coverage, until the time is over. What reaches new code goes into the corpus. The parsers are
// in test/hostile/fuzz/parsers.

import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const [name = 'all', seconds = '60', seed = String(Math.floor(Math.random() * 2 ** 32))] =
  process.argv.slice(2)
const root = fileURLToPath(new URL('..', import.meta.url))
const folder = join(root, 'test/hostile/fuzz')
// Among the installed packages, so that theirs are found from there.
const script = join(root, 'node_modules/.cache/fuzz', `fuzz-${process.pid}.mjs`)
mkdirSync(join(script, '..'), { recursive: true })
await build({
  entryPoints: [join(folder, 'program.ts')],
  outfile: script,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: 'external',
  // Of files that stand beside the sources: where they stand.
  plugins: [{ name: 'places', setup: keepPlaces }],
})
const { fuzzFor } = await import(pathToFileURL(script).href)
rmSync(script)
const clean = await fuzzFor(name, Number(seconds), {
  seed: Number(seed),
  folder: join(folder, 'corpus'),
  script: 'node_modules/.cache/fuzz/',
})
process.exitCode = clean ? 0 : 1

function keepPlaces(build) {
  build.onLoad({ filter: /[/\\](src|lib|test)[/\\].*\.ts$/ }, async ({ path }) => {
    const { readFile } = await import('node:fs/promises')
    const text = await readFile(path, 'utf8')
    const url = JSON.stringify(pathToFileURL(path).href)
    return { contents: text.replaceAll('import.meta.url', url), loader: 'ts' }
  })
}
