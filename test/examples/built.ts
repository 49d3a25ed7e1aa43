/**
 * The examples use the package by its name, so they run what is built. This builds it where that is
 * missing or older than its sources. Several test files may ask at once: one builds, the others wait.
 */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { root } from '../support/project-root.js'

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
    rmSync(lock, { force: true })
  }
}

function isFresh(): boolean {
  if (!outputs.every(existsSync)) return false
  const sources = readdirSync(at('src'), { recursive: true }).map(file => at('src', String(file)))
  const newest = Math.max(...[...sources, at('tsup.config.ts')].map(changed))
  return outputs.every(output => changed(output) >= newest)
}

/** Such a file is made by one process only. Of one that was killed it stays, and is nobody's. */
function taken(file: string): boolean {
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    if (isGone(holderOf(file))) rmSync(file, { force: true })
    return false
  }
}

/** 0: it has just gone, or not been written yet. */
function holderOf(file: string): number {
  try {
    return Number(readFileSync(file, 'utf8'))
  } catch {
    return 0
  }
}

function isGone(pid: number): boolean {
  try {
    // Our own group, for 0.
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
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
