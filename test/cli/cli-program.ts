/** The command line as a program of its own, for what a process does: signals, exit codes, pipes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { Test } from 'tap'

const folder = fileURLToPath(new URL('../../src', import.meta.url))

/**
 * Makes it as tsup does, but each program in one file, which takes a second.
 * @returns its path; `register.cjs`, which `run` names, is beside it
 */
export async function cliProgram(t: Test): Promise<string> {
  const outdir = t.testdir()
  await build({
    entryPoints: {
      'secure-socket': join(folder, 'cli/main.ts'),
      register: join(folder, 'register.ts'),
    },
    outdir,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    define: { 'import.meta.url': '__filename' },
    packages: 'external',
  })
  return join(outdir, 'secure-socket.cjs')
}

export interface Running {
  readonly child: ChildProcess
  /** What it has written until now. */
  readonly stdout: Buffer
  readonly stderr: string
  /** Resolves once its errors match; fails at its end and at the deadline. */
  said(pattern: RegExp): Promise<RegExpExecArray>
  /** Resolves when it has ended and all its output is here. */
  ended(): Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

/**
 * Runs Node with these arguments; it lives no longer than the test. tap has every process load what
 * its own need, by NODE_OPTIONS; that is not for this one.
 */
export function start(t: Test, args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const command = [process.execPath, ...args]
  if (process.platform !== 'win32') command.unshift('env', '-u', 'NODE_OPTIONS')
  const [file = '', ...rest] = command
  const child = spawn(file, rest, { env: { ...process.env, ...env } })
  const written: Buffer[] = []
  let stderr = ''
  let exit: { code: number | null; signal: NodeJS.Signals | null } | undefined
  const listeners = new Set<() => void>()
  const tell = () => {
    for (const listener of listeners) listener()
  }
  child.stdout.on('data', data => written.push(data))
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text
    tell()
  })
  // It may end before it has read everything.
  child.stdin.on('error', () => {})
  child.on('close', (code, signal) => {
    exit = { code, signal }
    tell()
  })
  t.teardown(() => exit ?? child.kill('SIGKILL'))

  function until<T>(what: string, find: () => T | null | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => settle(), 20_000)
      const settle = (found?: T | null) => {
        clearTimeout(timer)
        listeners.delete(look)
        if (found != null) resolve(found)
        else reject(new Error(`it did not ${what}; it said: ${stderr}`))
      }
      const look = () => {
        const found = find()
        if (found != null || exit) settle(found)
      }
      listeners.add(look)
      look()
    })
  }

  return {
    child,
    get stdout() {
      return Buffer.concat(written)
    },
    get stderr() {
      return stderr
    },
    said: pattern => until(`say ${pattern}`, () => pattern.exec(stderr)),
    ended: () => until('end', () => exit),
  }
}
