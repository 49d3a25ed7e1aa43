/** The program on another host, and what it is told. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { HostName } from './hosts.js'
import type { ConnectOrder, DatagramsOrder, ListenOrder, Order, SendOrder } from './peer-program.js'

const program = fileURLToPath(new URL('./peer-program.ts', import.meta.url))

/** A user of no rights, in the group that may speak to strongSwan. */
const nobody = ['setpriv', '--reuid=nobody', '--regid=nogroup', '--groups=vici', '--inh-caps=-all']

/** Starts a program on that host, as root or as nobody; it lives no longer than the test. */
export function startPeer(t: Test, host: HostName, user: 'root' | 'nobody' = 'root'): Peer {
  const node = [process.execPath, ...process.execArgv, program]
  const child = spawn('on', [host, ...(user === 'root' ? [] : nobody), ...node], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  return new Peer(child)
}

interface Waiting {
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Error) => void
}

export class Peer {
  /** What went wrong without having been asked for, such as an 'error' of a socket. */
  readonly complaints: string[] = []
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #waiting = new Map<number, Waiting>()
  #orders = 0

  constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#child = child
    createInterface(child.stdout).on('line', line => this.#hear(line))
    child.once('exit', code => {
      const error = new Error(`the peer's program has ended, code ${code}`)
      for (const { reject } of this.#waiting.values()) reject(error)
    })
  }

  /** A socket of datagrams that answers each with the same; resolves once it is bound. */
  async datagrams(order: Omit<DatagramsOrder, 'do'>): Promise<void> {
    await this.#order({ do: 'datagrams', ...order })
  }

  /** A server that gives back what it gets; resolves once it listens. */
  async listen(order: Omit<ListenOrder, 'do'>): Promise<void> {
    await this.#order({ do: 'listen', ...order })
  }

  /** Connects, sends a text, and gives what has come back; rejects with the socket's error. */
  async connect(order: Omit<ConnectOrder, 'do'>): Promise<string> {
    return String(await this.#order({ do: 'connect', ...order }))
  }

  /** Sends a datagram; rejects with the error that send() calls back. */
  async send(order: Omit<SendOrder, 'do'>): Promise<void> {
    await this.#order({ do: 'send', ...order })
  }

  /** What the socket of that port has received until now. */
  async received(port: number): Promise<string[]> {
    return (await this.#order({ do: 'received', port })) as string[]
  }

  async close(port: number): Promise<void> {
    await this.#order({ do: 'close', port })
  }

  /** Ends it by force. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #order(order: Order): Promise<unknown> {
    const id = ++this.#orders
    this.#child.stdin.write(`${JSON.stringify({ id, ...order })}\n`)
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
  }

  #hear(line: string): void {
    const { id, answer, error, complaint } = JSON.parse(line)
    if (complaint !== undefined) this.complaints.push(complaint)
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error) waiting?.reject(Object.assign(new Error(error.message), { code: error.code }))
    else waiting?.resolve(answer)
  }
}
