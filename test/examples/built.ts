/**
 * The examples use the package by its name, so they run what is built. This builds it where that is
 * missing or older than its sources. Several test files may ask at once: one builds, the others wait.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export const root = fileURLToPath(new URL('../..', import.meta.url))

const outputs = ['index.js', 'net.js', 'dgram.js', 'promises.js', 'cli.cjs'].map(file =>
  at('dist', file),
)
const lock = at('node_modules/.building')
const PATIENCE_MS = 100_000

export async function built(): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS
  while (!taken(lock)) {
    if (Date.now() > deadline) throw new Error(`another process builds for ever; remove ${lock}`)
    await delay(100)
  }
  try {
    if (!isFresh()) await promisify(execFile)(process.execPath, [tsup()], { cwd: root })
  } finally {
    rmdirSync(lock)
  }
}

function isFresh(): boolean {
  if (!outputs.every(existsSync)) return false
  const sources = readdirSync(at('src'), { recursive: true }).map(file => at('src', String(file)))
  const newest = Math.max(...[...sources, at('tsup.config.ts')].map(changed))
  return outputs.every(output => changed(output) >= newest)
}

/** A directory is made by one process only. */
function taken(directory: string): boolean {
  try {
    mkdirSync(directory)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function changed(path: string): number {
  return statSync(path).mtimeMs
}

/** npm's own tsup would need a shell on Windows. */
function tsup(): string {
  return join(dirname(fileURLToPath(import.meta.resolve('tsup'))), 'cli-default.js')
}

function at(...path: string[]): string {
  return join(root, ...path)
}
