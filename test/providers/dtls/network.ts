/**
 * A network in memory, with a clock of its own: endpoints whose datagrams are delayed, lost,
 * repeated and reordered as the seed says. Nothing waits: time goes from one event to the next.
 */

import { PortableChannel } from '../../../src/channels/portable.js'
import type { SecurityInfo } from '../../../src/model/security-info.js'
import {
  type DatagramSecuritySettings,
  type ParsedSettings,
  parseSettings,
} from '../../../src/model/settings.js'
import { parseTargetName } from '../../../src/model/target-name.js'
import type {
  Clock,
  Destination,
  EndpointObserver,
  MessageSource,
  Outbox,
  PeerAddress,
  Slot,
} from '../../../src/providers/datagram-provider.js'
import { Association } from '../../../src/providers/dtls/association.js'
import type { AssociationOptions } from '../../../src/providers/dtls/association-options.js'
import { DtlsEndpoint } from '../../../src/providers/dtls/endpoint.js'
import type { Random } from '../../model/random.js'

export interface Weather {
  /** Milliseconds from one end to the other, at least and at most. */
  readonly delay?: readonly [number, number]
  /** Of a hundred datagrams. */
  readonly loss?: number
  readonly duplicates?: number
}

/** A datagram under way. Change or replace it, or return undefined to lose it. */
export type Passage = (datagram: Buffer, from: Station, to: Station) => Buffer | undefined

interface Event {
  readonly at: number
  readonly order: number
  run(): void
}

export interface NetworkClock extends Clock {
  time: number
  /** Milliseconds that a step of a handshake takes. */
  workTakes: number
  /**
   * OpenSSL writes the time of its own clock into tickets. Where this is set, to any number, they have that
   * of this clock: for the last one of two ends that met, so for networks of one pair.
   */
  lastFullHandshake?: number
}

export class Network {
  readonly stations: Station[] = []
  readonly clock: NetworkClock
  passage: Passage = datagram => datagram
  /** What has arrived where, in short: to be shown where a test fails. */
  readonly log: string[] = []
  weather: Weather
  readonly #random: Random
  readonly #events: Event[] = []
  #order = 0

  constructor(random: Random, weather: Weather = {}) {
    this.#random = random
    this.weather = weather
    const begin = Date.now()
    this.clock = {
      time: 0,
      workTakes: 0,
      now() {
        return this.time
      },
      wallTime() {
        return begin + this.time
      },
    }
  }

  station(settings: DatagramSecuritySettings, options: StationOptions = {}): Station {
    const address = options.address ?? `192.0.2.${this.stations.length + 1}`
    const station = new Station(this, settings, { ...options, address })
    this.stations.push(station)
    return station
  }

  /** Takes a station away as a crash does: without a word. */
  unplug(station: Station): void {
    this.stations.splice(this.stations.indexOf(station), 1)
  }

  /** Calls it when the network's clock is there. */
  at(time: number, run: () => void): void {
    this.#order += 1
    this.#events.push({ at: Math.max(time, this.clock.time), order: this.#order, run })
  }

  carry(datagram: Buffer, from: Station, port: number, address: string): void {
    const { delay = [1, 1], loss = 0, duplicates = 0 } = this.weather
    const copies = this.#random.below(100) < duplicates ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      if (this.#random.below(100) < loss) continue
      const time = delay[0] + this.#random.below(delay[1] - delay[0] + 1)
      // Memory of its own, as from a socket.
      this.at(this.clock.time + time, () =>
        this.#arrive(Buffer.from(datagram), from, address, port),
      )
    }
  }

  #arrive(datagram: Buffer, from: Station, address: string, port: number): void {
    const to = this.stations.find(each => each.address === address && each.port === port)
    if (to === undefined) return
    const passed = this.passage(datagram, from, to)
    this.log.push(`${this.clock.time} ${from.address} to ${to.address}: ${inShort(datagram)}`)
    if (passed !== undefined) to.endpoint.receive(passed, from.address, from.port)
  }

  /** Lets time pass until the condition holds. False where it does not within this time. */
  until(condition: () => boolean, milliseconds = 600_000): boolean {
    const end = this.clock.time + milliseconds
    while (!condition()) {
      const next = this.#events.reduce<Event | undefined>(
        (first, each) =>
          first === undefined ||
          each.at < first.at ||
          (each.at === first.at && each.order < first.order)
            ? each
            : first,
        undefined,
      )
      const deadline = Math.min(...this.stations.map(each => each.endpoint.deadline))
      const at = Math.min(next?.at ?? Number.POSITIVE_INFINITY, deadline)
      if (at > end) {
        this.clock.time = end
        return condition()
      }
      this.clock.time = Math.max(this.clock.time, at)
      if (next !== undefined && next.at <= deadline) {
        this.#events.splice(this.#events.indexOf(next), 1)
        next.run()
      } else {
        for (const { endpoint } of this.stations) {
          if (endpoint.deadline <= this.clock.time) endpoint.tick()
        }
      }
    }
    return true
  }

  /** Lets this much time pass. */
  pass(milliseconds: number): void {
    this.until(() => false, milliseconds)
  }
}

export interface StationOptions {
  readonly address?: string
  readonly port?: number
  /** Bound explicitly, as a server is. Default: true. */
  readonly acceptsStrangers?: boolean
}

/** An endpoint with all that it tells. */
export class Station implements EndpointObserver, Outbox {
  /** The settings that the next handshakes use. */
  settings: ParsedSettings
  readonly network: Network
  readonly endpoint: DtlsEndpoint
  readonly address: string
  readonly port: number
  /** Every association that it has made. */
  readonly associations: Association[] = []
  readonly messages: string[] = []
  readonly sources: MessageSource[] = []
  readonly securedPeers: { readonly peer: PeerAddress; readonly info: SecurityInfo }[] = []
  readonly errors: (Error & { code?: string })[] = []
  readonly closedPeers: PeerAddress[] = []
  readonly keylogLines: string[] = []
  /** Datagrams that have left, whether they arrive or not. */
  sentDatagrams: Buffer[] = []
  onMessage: ((message: string, source: MessageSource) => void) | undefined
  onSecured: ((peer: PeerAddress) => void) | undefined
  /** What sending says, where it fails. */
  sendError: (Error & { code?: string }) | null = null

  constructor(
    network: Network,
    settings: DatagramSecuritySettings,
    { address, port = 5000, acceptsStrangers = true }: StationOptions & { address: string },
  ) {
    this.network = network
    this.address = address
    this.port = port
    this.settings = parseSettings(settings, 'datagram')
    const request = { current: () => this.settings, clock: network.clock }
    this.endpoint = new DtlsEndpoint(request, this, options => {
      const association = new TimedAssociation(options)
      this.associations.push(association)
      return association
    })
    this.endpoint.acceptsStrangers = acceptsStrangers
  }

  /** Sends a text; the result is there when the callback was called. */
  send(text: string, to: Station | PeerAddress, host: string = to.address): Sending {
    const sending: Sending = { calls: 0, error: undefined, bytes: undefined }
    this.endpoint.send(Buffer.from(text), to.address, to.port, host, (error, bytes) => {
      sending.calls += 1
      sending.error = error
      sending.bytes = bytes
    })
    return sending
  }

  /** Whom the other must prove to be. */
  name(other: Station, name: string, port = other.port): void {
    this.endpoint.setTargetName(other.address, port, parseTargetName(name))
  }

  query(other: Station): SecurityInfo | undefined {
    return this.endpoint.query(other.address, other.port)
  }

  readonly #outbox = new PortableChannel((...args) => this.datagram(...args))

  reserve(): Slot {
    return this.#outbox.reserve()
  }

  commit(length: number, to: Destination, sent?: (error: Error | null) => void): void {
    this.#outbox.commit(length, to, sent)
  }

  datagram(
    datagram: Buffer,
    address: string,
    port: number,
    sent?: (error: Error | null) => void,
  ): void {
    this.sentDatagrams.push(Buffer.from(datagram))
    if (this.sendError === null) this.network.carry(datagram, this, port, address)
    const error = this.sendError
    // As dgram: not before the call is over.
    if (sent) this.network.at(this.network.clock.time, () => sent(error))
  }

  message(message: Buffer, source: MessageSource): void {
    this.messages.push(message.toString())
    this.sources.push(source)
    this.onMessage?.(message.toString(), source)
  }

  secured(peer: PeerAddress, info: SecurityInfo): void {
    this.securedPeers.push({ peer, info })
    this.onSecured?.(peer)
  }

  peerError(error: Error): void {
    this.errors.push(error)
  }

  peerClosed(peer: PeerAddress): void {
    this.closedPeers.push(peer)
  }

  keylog(line: Buffer): void {
    this.keylogLines.push(line.toString())
  }
}

export interface Sending {
  calls: number
  error: (Error & { code?: string }) | null | undefined
  bytes: number | undefined
}

/** Its records: type and epoch; for a clear handshake message its type, number and the random of a ClientHello. */
function inShort(datagram: Buffer): string {
  const records: string[] = []
  let offset = 0
  while (offset + 13 <= datagram.length) {
    const record = datagram.subarray(offset)
    const isMessage = record[0] === 22 && record[4] === 0 && record.length >= 25
    const random = record[13] === 1 ? ` ${record.toString('hex', 27, 30)}` : ''
    records.push(
      isMessage
        ? `message ${record[13]} #${record.readUInt16BE(17)}${random}`
        : `${record[0]} in ${record[4]}`,
    )
    offset += 13 + record.readUInt16BE(11)
  }
  return records.join(', ')
}

/**
 * OpenSSL keeps its own time for retransmissions, and asks nobody. Here its timer is short, and the
 * network's clock says when it is looked at: after 1 s, 2 s, 4 s… as in RFC 6347, section 4.2.4.1.
 */
class TimedAssociation extends Association {
  readonly #clock: NetworkClock
  #due = Number.POSITIVE_INFINITY
  #wait = 1000

  constructor(options: AssociationOptions) {
    super({ ...options, retransmitAfter: OPENSSL_TIMER })
    this.#clock = options.clock as NetworkClock
    Object.defineProperty(this, 'deadline', {
      get: () => this.#due,
      set: (deadline: number) => {
        if (deadline === Number.POSITIVE_INFINITY) this.#due = deadline
        else if (this.#due === Number.POSITIVE_INFINITY) this.#due = this.#clock.now() + this.#wait
      },
    })
    let proved = 0
    Object.defineProperty(this, 'provedAt', {
      get: () => this.#clock.lastFullHandshake ?? proved,
      set: (time: number) => {
        proved = time
      },
    })
  }

  #keepTime(): void {
    if (this.#clock.lastFullHandshake !== undefined)
      this.#clock.lastFullHandshake = this.#clock.wallTime()
  }

  override start(hello?: Buffer): void {
    super.start(hello)
    this.#clock.time += this.#clock.workTakes
  }

  override receive(records: Buffer): boolean {
    const before: string = this.state
    if (before === 'handshaking') this.#clock.time += this.#clock.workTakes
    const progress = super.receive(records)
    if (before !== this.state && this.state === 'secured' && !this.query().resumed) this.#keepTime()
    if (progress && this.#due !== Number.POSITIVE_INFINITY) {
      this.#wait = 1000
      this.#due = this.#clock.now() + this.#wait
    }
    return progress
  }

  override tick(): void {
    if (this.#clock.now() < this.#due) return
    const before = this.retransmissions
    this.#wait = Math.min(2 * this.#wait, 60_000)
    this.#due = Number.POSITIVE_INFINITY
    for (let waits = 0; this.retransmissions === before && this.state === 'handshaking'; waits++) {
      if (waits > 500) throw new Error('OpenSSL does not retransmit')
      sleep(1)
      super.tick()
    }
  }

  override nextTimeout(): number {
    return OPENSSL_TIMER * 1000
  }
}

/**
 * Milliseconds: longer than a step of a handshake takes, so that OpenSSL itself sends nothing twice.
 * It takes the last 15 of them for none.
 */
const OPENSSL_TIMER = 40

function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}
