/** The hosts of a fleet, each a process, and a client that asks which of them it has come to. */
import { type ChildProcess, fork } from 'node:child_process'
import type { Test } from 'tap'
import type { DatagramSecuritySettings } from '../../src/model/settings.js'
import type { EndpointStats } from '../../src/providers/datagram-provider.js'
import type { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'
import { event } from '../support/events.js'
import { inOneFile } from '../support/one-file.js'
import { datagramSocket, LOOPBACK } from '../support/secured-datagrams.js'
import { until } from '../support/until.js'

export interface HostOptions {
  readonly security: DatagramSecuritySettings
  /** Hexadecimal, the current one first; none: each host has keys of its own. */
  readonly ticketKeys: readonly string[]
  readonly port: number
  /** Milliseconds by which its clock is. */
  readonly ahead: number
}

export interface Answer {
  readonly question: string
  readonly pid: number
  readonly names: readonly string[]
  readonly resumed: boolean
}

export class Host {
  private constructor(
    readonly port: number,
    readonly pid: number,
    private readonly child: ChildProcess,
  ) {}

  static async start(
    t: Test,
    options: Partial<HostOptions> & Pick<HostOptions, 'security'>,
  ): Promise<Host> {
    const complete: HostOptions = { ticketKeys: [], port: 0, ahead: 0, ...options }
    const env = { ...process.env, HOST: JSON.stringify(complete) }
    const child = fork(program, { execArgv: [], env })
    t.teardown(() => child.kill())
    const [port] = (await event(child, 'message', 30_000)) as [number]
    return new Host(port, child.pid as number, child)
  }

  async stats(): Promise<EndpointStats> {
    this.child.send('stats')
    const [stats] = (await event(this.child, 'message')) as [EndpointStats]
    return stats
  }

  /** As a power failure does: nobody is told. */
  async fail(): Promise<void> {
    const ended = event(this.child, 'exit')
    this.child.kill('SIGKILL')
    await ended
  }
}

let program = ''

/** Before the first of them: makes their program. */
export async function prepareHosts(t: Test): Promise<void> {
  program = await inOneFile(t, new URL('host-program.ts', import.meta.url))
}

/** Milliseconds of silence after which the client asks anew. */
const RESUME_AFTER = 300

export class Client {
  readonly socket: SecureDgramSocket
  readonly #port: number
  #asked = 0
  #answers: Omit<Answer, 'question'>[] = []

  constructor(t: Test, security: DatagramSecuritySettings, port: number) {
    this.socket = datagramSocket(t, { security: { resumeAfter: RESUME_AFTER, ...security } })
    this.#port = port
    this.socket.on('message', message => {
      const { question, ...answer } = JSON.parse(String(message)) as Answer
      // What has been asked before, and twice, may be answered late.
      if (question === String(this.#asked)) this.#answers.push(answer)
    })
  }

  /** Which host answers, and what it knows. What goes to one that does not know us yet is lost, so it asks again. */
  async ask(): Promise<Omit<Answer, 'question'>> {
    this.#answers = []
    this.#asked += 1
    const send = () => this.socket.send(String(this.#asked), this.#port, LOOPBACK, () => {})
    const again = setInterval(send, RESUME_AFTER / 2)
    try {
      send()
      await until('an answer has come', () => this.#answers.length > 0, 30_000)
    } finally {
      clearInterval(again)
    }
    return this.#answers[0] as Omit<Answer, 'question'>
  }

  get peer(): { address: string; port: number } {
    return { address: LOOPBACK, port: this.#port }
  }
}
