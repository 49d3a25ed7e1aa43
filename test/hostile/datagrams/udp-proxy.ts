/**
 * A path between real sockets that does what a network can do: it loses, delays, repeats, swaps, cuts
 * and changes datagrams, swallows large ones, and moves the clients to other ports. By chance, from a
 * seed, or by the number of a datagram.
 */
import dgram, { type Socket } from 'node:dgram'
import type { Test } from 'tap'
import type { Random } from '../../model/random.js'
import { event } from '../../support/events.js'
import { flipBit } from '../../support/flip-bit.js'

export type Direction = 'toServer' | 'toClient'

/** Of a hundred datagrams each, where nothing else is said. Nothing by default. */
export interface Faults {
  readonly loss?: number
  readonly duplicates?: number
  /** It passes only behind the next one of its direction, or 50 ms later. */
  readonly swaps?: number
  /** It loses a part of its end. */
  readonly truncations?: number
  /** One bit of it is another. */
  readonly flips?: number
  /** Milliseconds under way, at least and at most. */
  readonly delay?: readonly [number, number]
  /** Bytes: what is larger is swallowed. */
  readonly largest?: number
}

/** What becomes of a datagram, in place of the faults by chance: these pass at once, in this order. */
export type Passage = (
  datagram: Buffer,
  direction: Direction,
  index: number,
) => Buffer[] | undefined

export interface UdpProxy {
  /** Where clients speak to, on 127.0.0.1. */
  readonly port: number
  faults: Faults
  /** Asked first; undefined: the faults decide. */
  passage: Passage | undefined
  /** All that has come, in order, whether it passed or not. */
  readonly seen: Readonly<Record<Direction, readonly Buffer[]>>
  /** Datagrams that have not passed. */
  readonly lost: number
  /** The server hears the clients from other ports from now on, as behind a NAT that has forgotten them. */
  move(): Promise<void>
  /** Sends to the side that this direction leads to, as if the other had sent it. */
  inject(datagram: Buffer, direction: Direction): void
  /** The same, with the faults by chance. */
  disturb(datagram: Buffer, direction: Direction): void
}

const SWAP_PATIENCE = 50

/** Stands between one client and the server at `serverPort` on 127.0.0.1, until the test ends. */
export async function udpProxy(t: Test, random: Random, serverPort: number): Promise<UdpProxy> {
  const seen = { toServer: [] as Buffer[], toClient: [] as Buffer[] }
  const held: Partial<Record<Direction, () => void>> = {}
  let client: number | undefined
  let lost = 0
  let closed = false
  const front = await open(t)
  let back = await open(t)
  front.on('message', (datagram, from) => {
    client = from.port
    came(datagram, 'toServer')
  })
  back.on('message', fromServer)
  t.teardown(() => {
    closed = true
  })

  const proxy: UdpProxy = {
    port: front.address().port,
    faults: {},
    passage: undefined,
    seen,
    get lost() {
      return lost
    },
    async move() {
      const next = await open(t)
      next.on('message', fromServer)
      back = next
    },
    inject: send,
    disturb(datagram, direction) {
      const late = held[direction]
      delete held[direction]
      byChance(datagram, direction, late === undefined)
      late?.()
    },
  }
  return proxy

  function fromServer(datagram: Buffer): void {
    came(datagram, 'toClient')
  }

  function came(datagram: Buffer, direction: Direction): void {
    const index = seen[direction].push(Buffer.from(datagram)) - 1
    const late = held[direction]
    delete held[direction]
    const decided = proxy.passage?.(datagram, direction, index)
    if (decided === undefined) byChance(datagram, direction, late === undefined)
    else {
      if (decided.length === 0) lost += 1
      for (const each of decided) send(each, direction)
    }
    late?.()
  }

  function byChance(whole: Buffer, direction: Direction, mayWait: boolean): void {
    const { loss = 0, duplicates = 0, swaps = 0, truncations = 0, flips = 0 } = proxy.faults
    const { delay = [0, 0], largest = Number.POSITIVE_INFINITY } = proxy.faults
    const happens = (percent: number) => random.below(100) < percent
    // Each is drawn each time, so that the same seed has the same weather.
    const [isLost, isTwice, isLate, isCut, isFlipped] = [
      happens(loss),
      happens(duplicates),
      happens(swaps),
      happens(truncations),
      happens(flips),
    ]
    const [cutAt, bit] = [random.below(whole.length), random.below(whole.length * 8)]
    const time = delay[0] + random.below(delay[1] - delay[0] + 1)
    if (isLost || whole.length > largest) {
      lost += 1
      return
    }
    const datagram = Buffer.from(isCut ? whole.subarray(0, cutAt) : whole)
    if (isFlipped && bit >> 3 < datagram.length) flipBit(datagram, bit)
    const pass = () => {
      for (let copy = isTwice ? 2 : 1; copy > 0; copy--)
        if (time === 0) send(datagram, direction)
        else setTimeout(send, time, datagram, direction).unref()
    }
    if (!isLate || !mayWait) {
      pass()
      return
    }
    held[direction] = pass
    setTimeout(() => {
      if (held[direction] !== pass) return
      delete held[direction]
      pass()
    }, SWAP_PATIENCE).unref()
  }

  function send(datagram: Buffer, direction: Direction): void {
    if (closed) return
    if (direction === 'toServer') back.send(datagram, serverPort, '127.0.0.1')
    else if (client !== undefined) front.send(datagram, client, '127.0.0.1')
  }
}

/** Could somebody who reads along have read this text? */
export function isSaidInClear({ seen }: UdpProxy, text: string): boolean {
  return [...seen.toServer, ...seen.toClient].some(datagram => datagram.includes(text))
}

async function open(t: Test): Promise<Socket> {
  const socket = dgram.createSocket('udp4')
  // Whoever is gone answers with ICMP.
  socket.on('error', () => {})
  socket.bind(0, '127.0.0.1')
  await event(socket, 'listening')
  t.teardown(() => new Promise<void>(resolve => socket.close(resolve)))
  return socket
}
