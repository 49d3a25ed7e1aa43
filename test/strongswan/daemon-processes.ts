/** Starts processes that use the daemon's interface on the hosts, and asks them for things. */
import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { FlowChange } from '../../src/providers/strongswan/daemon/daemon.js'
import type { Commands } from './daemon-program.js'

export interface ErrorAnswer {
  code: string
  message: string
}

/** What a process was told unasked. */
export interface Told {
  event: 'ready' | 'changed' | 'interrupted' | 'restored' | 'lost'
  message?: string
  changed?: FlowChange
}

export class DaemonProcess {
  readonly told: Told[] = []
  readonly child: ChildProcess
  readonly #lines = new EventEmitter()
  #next = 0

  constructor(child: ChildProcess) {
    this.child = child
    createInterface(child.stdout as NodeJS.ReadableStream).on('line', line => {
      if (process.env.SHOW) console.error(`${child.pid}: ${line}`)
      const said = JSON.parse(line)
      if (said.event === undefined) this.#lines.emit(String(said.id), said)
      else {
        this.told.push(said)
        this.#lines.emit('told')
      }
    })
  }

  /** @throws (rejects) with the code and message of the error over there */
  async ask<Name extends keyof Commands>(
    command: Name,
    ...args: Parameters<Commands[Name]>
  ): Promise<Awaited<ReturnType<Commands[Name]>>> {
    const id = String(++this.#next)
    const answered = once(this.#lines, id, { signal: AbortSignal.timeout(40_000) })
    this.child.stdin?.write(`${JSON.stringify({ id, command, args })}\n`)
    const [{ result, error }] = await answered
    if (error !== undefined) throw Object.assign(new Error(error.message), { code: error.code })
    return result
  }

  /** Until it has been told that. */
  async hears(what: (told: Told) => boolean): Promise<Told> {
    const signal = AbortSignal.timeout(40_000)
    for (;;) {
      const found = this.told.find(what)
      if (found !== undefined) return found
      await once(this.#lines, 'told', { signal })
    }
  }

  /** Ends by itself, as a program does that has nothing more to do. */
  async end(): Promise<void> {
    const exited = once(this.child, 'exit')
    await this.ask('end')
    await exited
  }

  /** As the system kills it. */
  async kill(): Promise<void> {
    const exited = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    await exited
  }
}

export async function startOn(host: 'a' | 'b' | 'c'): Promise<DaemonProcess> {
  const program = fileURLToPath(new URL('./daemon-program.ts', import.meta.url))
  const child = spawn('on', [host, process.execPath, ...process.execArgv, program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const started = new DaemonProcess(child)
  await started.hears(({ event }) => event === 'ready')
  return started
}
