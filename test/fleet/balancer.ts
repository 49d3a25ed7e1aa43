/**
 * A balancer of UDP, as one stands before a fleet: it passes the datagrams of each client on to one
 * host or another, and changes its mind when it is told to. All hosts see a client at one address.
 */
import type { Socket } from 'node:dgram'
import type { Test } from 'tap'
import { LOOPBACK } from '../support/secured-datagrams.js'
import { bound } from '../support/udp-tap.js'

export class Balancer {
  /** The port of the host that a datagram of a client's goes to. */
  choose: (datagram: Buffer) => number = () => 0
  readonly #front: Socket
  readonly #backs = new Map<number, Promise<Socket>>()
  #toClients: Buffer[] = []

  private constructor(front: Socket) {
    this.#front = front
    front.on('message', async (datagram, client) => {
      const known = this.#backs.get(client.port) ?? this.#back(client.port)
      this.#backs.set(client.port, known)
      const port = this.choose(datagram)
      ;(await known).send(datagram, port, LOOPBACK)
    })
  }

  static async start(t: Test): Promise<Balancer> {
    const balancer = new Balancer(await bound())
    t.teardown(() => balancer.#close())
    return balancer
  }

  get port(): number {
    return this.#front.address().port
  }

  /** What has come from the hosts since the last time. */
  takeAnswers(): Buffer[] {
    const answers = this.#toClients
    this.#toClients = []
    return answers
  }

  async #back(clientPort: number): Promise<Socket> {
    const back = await bound()
    back.on('message', datagram => {
      this.#toClients.push(datagram)
      this.#front.send(datagram, clientPort, LOOPBACK)
    })
    return back
  }

  async #close(): Promise<void> {
    for (const socket of [this.#front, ...(await Promise.all(this.#backs.values()))])
      await new Promise<void>(resolve => socket.close(resolve))
  }
}
