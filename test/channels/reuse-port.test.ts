/**
 * Processes that share one port (reusePort): the system gives each peer to one of them. A process that
 * ends says so to its peers, who go on with another; one that comes takes some peers over, who find
 * that out by its silence, and resume there, since all have the same ticket keys. So do those of one that
 * was killed.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import type { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'
import { event } from '../support/events.js'
import { inOneFile } from '../support/one-file.js'
import { datagramSocket, identified, LOOPBACK } from '../support/secured-datagrams.js'
import { until } from '../support/until.js'

/** All of them at the same process by chance: once in half a million. */
const PEERS = 20
const RESUME_AFTER_MS = 300
const linux = process.platform === 'linux'
const skip = linux ? false : 'only Linux shares a port among the processes that ask for it'

t.test('peers among processes that come and go', { skip }, async t => {
  const program = await inOneFile(t, new URL('reuse-port-program.ts', import.meta.url))
  const ends = await identified()
  const security = JSON.stringify({ ...ends, ticketKeys: randomBytes(48).toString('hex') })
  const first = await Sharing.start(t, program, security, 0)
  const second = await Sharing.start(t, program, security, first.port)
  const clients = Array.from({ length: PEERS }, () => {
    return new Client(t, { ...ends, resumeAfter: RESUME_AFTER_MS }, first.port)
  })
  const ask = () => Promise.all(clients.map(client => client.ask()))

  const answers = await ask()
  t.same(new Set(answers), new Set([first.pid, second.pid]), 'both have peers')
  for (let times = 0; times < 3; times += 1) t.same(await ask(), answers, 'and keep them')

  const orphans = clients.filter((_, index) => answers[index] === second.pid)
  const told = Promise.all(orphans.map(({ socket }) => event(socket, 'peerClose')))
  await second.end()
  await told
  t.same(
    await ask(),
    Array(PEERS).fill(first.pid),
    'the peers of one that has ended go to the other',
  )

  const third = await Sharing.start(t, program, security, first.port)
  const moved = await ask()
  t.same(new Set(moved), new Set([first.pid, third.pid]), 'one that comes takes peers over')
  for (const [index, client] of clients.entries()) {
    const { resumed } = await client.socket.querySecurity({ address: LOOPBACK, port: first.port })
    if (moved[index] === third.pid) t.equal(resumed, true, 'by the ticket of another process')
  }
  for (let times = 0; times < 3; times += 1) t.same(await ask(), moved)

  await third.kill()
  t.same(await ask(), Array(PEERS).fill(first.pid), 'nobody has told its peers that it is gone')
  for (const [index, client] of clients.entries()) {
    const { resumed } = await client.socket.querySecurity({ address: LOOPBACK, port: first.port })
    if (moved[index] === third.pid) t.equal(resumed, true)
  }
})

/** A process that has the port as well. */
class Sharing {
  private constructor(
    readonly port: number,
    readonly pid: number,
    private readonly child: ChildProcess,
  ) {}

  static async start(t: Test, program: string, security: string, port: number): Promise<Sharing> {
    const env = { ...process.env, SHARED_SECURITY: security }
    const child = fork(program, [String(port)], { execArgv: [], env })
    t.teardown(() => child.kill())
    const [bound] = (await event(child, 'message', 30_000)) as [number]
    return new Sharing(bound, child.pid as number, child)
  }

  /** Its peers hear of it. */
  async end(): Promise<void> {
    const ended = event(this.child, 'exit')
    this.child.send('end')
    await ended
  }

  /** They do not. */
  async kill(): Promise<void> {
    const ended = event(this.child, 'exit')
    this.child.kill('SIGKILL')
    await ended
  }
}

class Client {
  readonly socket: SecureDgramSocket
  readonly #port: number
  #asked = 0
  #answers: number[] = []

  constructor(t: Test, security: object, port: number) {
    this.socket = datagramSocket(t, { security })
    this.#port = port
    this.socket.on('message', message => {
      const [pid, question] = String(message).split(' ')
      // What has been asked before, and twice, may be answered late.
      if (question === String(this.#asked)) this.#answers.push(Number(pid))
    })
  }

  /** Which process answers. What goes to one that does not know us yet is lost, so it asks again. */
  async ask(): Promise<number> {
    this.#answers = []
    this.#asked += 1
    const send = () => this.socket.send(String(this.#asked), this.#port, LOOPBACK, () => {})
    const again = setInterval(send, RESUME_AFTER_MS / 2)
    send()
    await until('an answer has come', () => this.#answers.length > 0)
    clearInterval(again)
    return this.#answers[0] as number
  }
}
