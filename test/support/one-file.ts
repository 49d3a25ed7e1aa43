/** A program of the tests as one file of JavaScript. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

/**
 * Makes it, for processes and threads that cannot each wait until types are stripped.
 * @param source the program's file
 * @returns the path of the JavaScript; it is the file itself, where the tests run as JavaScript
 */
export async function inOneFile(t: Test, source: URL): Promise<string> {
  if (source.pathname.endsWith('.js')) return fileURLToPath(source)
  const { build } = await import('esbuild')
  const program = join(ownFolder(t), `${basename(source.pathname, '.ts')}.mjs`)
  await build({
    entryPoints: [fileURLToPath(source)],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['koffi'],
  })
  return program
}

/**
 * Two runs of a test share tap's directory, and the one that ends first takes the other's program away:
 * what it starts behind that does not begin. It lies beside it, so that koffi is found from there.
 */
function ownFolder(t: Test): string {
  const shared = dirname(t.testdirName)
  mkdirSync(shared, { recursive: true })
  const folder = mkdtempSync(join(shared, 'program-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
