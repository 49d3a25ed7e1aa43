/** The program on another host that the streams' tests speak to, and what they see of a host. */
import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { HostName } from './support/hosts.js'

/** It does what it is told, and emits what it has seen by the name of `event`. */
export class StreamsHost extends EventEmitter {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #waiting = new Map<number, (line: Record<string, unknown>) => void>()
  #last = 0

  constructor(name: HostName) {
    super()
    const program = fileURLToPath(new URL('./streams-program.ts', import.meta.url))
    this.#child = spawn('on', [name, process.execPath, ...process.execArgv, program], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    createInterface(this.#child.stdout).on('line', line => this.#hear(JSON.parse(line)))
  }

  #hear(line: Record<string, unknown>): void {
    const { id, event } = line
    if (typeof id === 'number') this.#waiting.get(id)?.(line)
    else {
      if (event === 'refused' || event === 'failed') console.error(JSON.stringify(line))
      this.emit(String(event), line)
    }
  }

  async ask(verb: string, what: object = {}): Promise<Record<string, unknown>> {
    this.#last += 1
    const id = this.#last
    const answer = new Promise<Record<string, unknown>>(resolve => this.#waiting.set(id, resolve))
    this.#child.stdin.write(`${JSON.stringify({ id, verb, ...what })}\n`)
    const { result, error } = await answer
    if (error) throw Object.assign(new Error(), error)
    return result as Record<string, unknown>
  }

  async end(): Promise<void> {
    this.#child.stdin.end()
    await once(this.#child, 'exit')
  }
}

const run = promisify(execFile)

/** What swanctl prints on a host. */
export async function swanctl(host: HostName, ...args: string[]): Promise<string> {
  const { stdout } = await run('on', [host, 'swanctl', ...args])
  return stdout
}

/** Changes a parameter of a host's network. */
export async function sysctl(host: HostName, assignment: string): Promise<void> {
  await run('on', [host, 'sysctl', '-q', '-w', assignment])
}
