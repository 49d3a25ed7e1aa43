/** `secure-socket connect` or `listen` in this process, with ends that a test holds. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import type { Test } from 'tap'
// The commands load these when they are asked for; a deadline of a test is not to wait for a compiler.
import '../../../src/cli/connect.js'
import '../../../src/cli/listen.js'
import { secureSocket } from '../../../src/cli/secure-socket.js'
import type { Identity } from '../../../src/identity/identity.js'
import { until } from '../../support/until.js'

export interface Session {
  readonly stdin: PassThrough
  /** What it has written until now. */
  readonly stdout: Buffer
  /** What it has told until now; each line is an object. */
  readonly events: readonly Told[]
  /** Resolves to the first of this name. */
  told(event: string): Promise<Told>
  /** Resolves once its output has this much, or contains this. */
  wrote(what: number | string): Promise<void>
  /** Its exit code. */
  readonly code: Promise<number>
}

// biome-ignore lint/suspicious/noExplicitAny: whatever it has told
export type Told = Record<string, any> & { readonly event: string }

/** Runs it with --json; what is given is the whole of stdin, else the test writes and ends it. */
export function begin(args: readonly string[], input?: string | Uint8Array): Session {
  const stdin = new PassThrough()
  if (input !== undefined) stdin.end(input)
  const chunks: Buffer[] = []
  const stdout = new Writable({
    write(chunk, _encoding, done) {
      chunks.push(chunk)
      done()
    },
  })
  return {
    ...beginWith(args, stdin, stdout),
    get stdout() {
      return Buffer.concat(chunks)
    },
    async wrote(what) {
      const has = () => {
        const bytes = Buffer.concat(chunks)
        return typeof what === 'number' ? bytes.length >= what : bytes.includes(what)
      }
      await until(`it writes ${what}`, has, 30_000)
    },
  }
}

/** The same with an output that the test has made. */
export function beginWith(
  args: readonly string[],
  stdin: PassThrough,
  stdout: Writable,
): Pick<Session, 'stdin' | 'events' | 'told' | 'code'> {
  const events: Told[] = []
  const stderr = {
    write(text: string) {
      for (const line of text.trimEnd().split('\n')) events.push(parsed(line))
      // As a stream says it that has room for more.
      return true
    },
  }
  const code = secureSocket([...args, '--json'], { stdin, stdout, stderr })
  return {
    stdin,
    events,
    code,
    async told(event) {
      const find = () => events.find(each => each.event === event)
      await until(`it tells "${event}"`, () => find() !== undefined, 30_000)
      return find() as Told
    },
  }
}

/** Errors of the command line are told as text. */
function parsed(line: string): Told {
  return line.startsWith('{') ? JSON.parse(line) : { event: line }
}

/** Writes what a command needs of an identity, and gives the options for it. */
export function options(t: Test, name: string, identity: Identity): string[] {
  const folder = join(t.testdirName, name)
  mkdirSync(folder, { recursive: true })
  const file = (kind: 'cert' | 'key' | 'ca') => {
    const path = join(folder, kind)
    writeFileSync(path, identity[kind], { mode: 0o600 })
    return path
  }
  return ['--cert', file('cert'), '--key', file('key'), '--ca', file('ca')]
}

/** Only whom to trust. */
export function trusting(t: Test, identity: Identity): string[] {
  return options(t, 'trust', identity).slice(4)
}

/** Bytes that are no text, and tell where something is missing. */
export function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32LE((at * 2654435761) >>> 0, at)
  return bytes
}
