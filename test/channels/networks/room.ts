/**
 * A process in a network namespace of its own: on its network is nothing but what the test puts there.
 * The tests that open it run in such a namespace themselves (own-network.ts).
 */
import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { EventEmitter } from 'node:events'
import t, { type Test } from 'tap'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { event } from '../../support/events.js'
import { inOneFile } from '../../support/one-file.js'
import type { Question, Report } from './room-program.js'

const program = await inOneFile(t, new URL('room-program.ts', import.meta.url))

/** A message that arrived there: the number in its first four bytes, and its size. */
export interface Arrival {
  readonly number: number
  readonly size: number
}

export class Room {
  readonly #child: ChildProcess
  readonly #reports = new EventEmitter()
  readonly #arrived: Arrival[] = []

  private constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', (report: Report) => {
      for (const [number, size] of report.arrived ?? []) this.#arrived.push({ number, size })
      this.#reports.emit('report', report)
    })
    child.on('exit', () => this.#reports.emit('error', new Error('the room has ended')))
  }

  /** It ends with the test. */
  static async open(t: Test): Promise<Room> {
    // unshare becomes the program that it is given, so it is the child, and has its number.
    const execArgv = ['--net', process.execPath]
    const child = fork(program, { execPath: 'unshare', execArgv })
    const room = new Room(child)
    t.teardown(() => {
      room.#reports.on('error', () => {})
      child.kill()
    })
    await event(room.#reports, 'report', 60_000)
    return room
  }

  /** For `ip link … netns PID`. */
  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Runs commands there, such as `ip link set eth up`. */
  async run(...commands: readonly string[]): Promise<void> {
    for (const command of commands) await this.#ask({ run: command })
  }

  /** Binds a secured datagram socket there. */
  async listen(address: string, port: number, security: DatagramSecuritySettings): Promise<void> {
    await this.#ask({ listen: { address, port, security } })
  }

  /** How many messages have arrived, of those that nobody has asked for. */
  get arrived(): number {
    return this.#arrived.length
  }

  /** The next so many messages that arrive there with such a number, or a higher one; the others are forgotten. */
  async arrivals(count: number, first = 0): Promise<Arrival[]> {
    const wanted = () => this.#arrived.filter(({ number }) => number >= first)
    while (wanted().length < count) {
      try {
        await event(this.#reports, 'report')
      } catch (error) {
        throw new Error(`${wanted().length} of ${count} messages arrived`, { cause: error })
      }
    }
    const arrivals = wanted()
    this.#arrived.length = 0
    return arrivals
  }

  async #ask(question: Question): Promise<void> {
    this.#child.send(question)
    for (;;) {
      const [report] = (await event(this.#reports, 'report')) as [Report]
      if (report.failed !== undefined) throw new Error(report.failed)
      if (report.done) return
    }
  }
}

/** Runs a command in the namespace of the test itself. */
export function here(...commands: readonly string[]): void {
  for (const command of commands)
    execFileSync('sh', ['-c', command], { stdio: ['ignore', 'ignore', 'inherit'] })
}
