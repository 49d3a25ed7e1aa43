/** A process that a test starts, on this system or, where the tests run under Wine, on the one below. */
import { spawn } from 'node:child_process'
import net from 'node:net'
import { createInterface } from 'node:readline'

export interface Process {
  /** Writes to its standard input. */
  write(bytes: string | Uint8Array): void
  /** Ends its standard input. */
  end(): void
  kill(signal?: NodeJS.Signals): void
}

export interface ProcessListener {
  /** Something of its output or its errors, or why it could not be started. */
  heard(text: string): void
  /** It has ended, and all its output has been heard. */
  closed(code: number | null, signal: NodeJS.Signals | null): void
}

/** Where programs of the system below are started, and which. Wine starts one, but cannot talk to it. */
const [port, token, below] = process.env.FOREIGN_PROGRAMS?.split(':') ?? []

/** Does this program run on the system below? */
export function isBelow(name: string): boolean {
  return below?.split(',').includes(name) ?? false
}

/** Where a process runs, and what its environment has besides that of the test; undefined takes away. */
export interface Surroundings {
  cwd?: string
  env?: Record<string, string | undefined>
}

export function startProcess(
  path: string,
  args: readonly string[],
  surroundings: Surroundings,
  listener: ProcessListener,
): Process {
  const start = isBelow(path) ? startBelow : startHere
  return start(path, args, surroundings, listener)
}

function startHere(
  path: string,
  args: readonly string[],
  { cwd, env: own }: Surroundings,
  listener: ProcessListener,
): Process {
  // What the machine's administrator has set for OpenSSL must not decide what a test meets.
  const env = { ...process.env, OPENSSL_CONF: '/dev/null', LC_ALL: 'C', ...own }
  const child = spawn(path, args, { cwd, env, stdio: 'pipe' })
  for (const output of [child.stdout, child.stderr])
    output.setEncoding('utf8').on('data', text => listener.heard(text))
  // A program that has gone does not read what the test still types.
  child.stdin.on('error', () => {})
  child.on('error', error => listener.heard(`\n${error.message}`))
  child.on('close', (code, signal) => listener.closed(code, signal))
  return {
    write: bytes => child.stdin.write(bytes),
    end: () => child.stdin.end(),
    kill: signal => child.kill(signal),
  }
}

/** Through scripts/winsock-foreign.mjs, which says what goes over the connection. */
function startBelow(
  program: string,
  args: readonly string[],
  { cwd }: Surroundings,
  listener: ProcessListener,
): Process {
  const connection = net.connect(Number(port), '127.0.0.1')
  const tell = (message: object) => connection.write(`${JSON.stringify(message)}\n`)
  let code: number | null = null
  let signal: NodeJS.Signals | null = null
  createInterface({ input: connection }).on('line', line => {
    const message = JSON.parse(line)
    if ('heard' in message) listener.heard(message.heard)
    if ('error' in message) listener.heard(`\n${message.error}`)
    if ('code' in message) ({ code, signal } = message)
  })
  connection.on('error', error => listener.heard(`\n${error.message}`))
  connection.on('close', () => listener.closed(code, signal))
  tell({ token, program, args, cwd })
  return {
    write: bytes => tell({ write: Buffer.from(bytes).toString('base64') }),
    end: () => tell({ end: true }),
    kill: (signal = 'SIGTERM') => tell({ kill: signal }),
  }
}
