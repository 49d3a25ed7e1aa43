/** A program of the tests as one file of JavaScript. */
import { basename, join } from 'node:path'
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
  const program = join(t.testdir(), `${basename(source.pathname, '.ts')}.mjs`)
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
