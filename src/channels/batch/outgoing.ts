/**
 * The sending half of a socket that sends many datagrams in one system call. What is committed
 * stands in the thread's stage until the tick is over; then datagrams of one size for one destination
 * leave as one message, which the system cuts, and all messages in as few calls as possible.
 */
import { constants } from 'node:os'
import { performance } from 'node:perf_hooks'
import { UDP_MAX_BYTES, UDP_MAX_SEGMENTS } from '../../../lib/linux-sockets.js'
import type { Destination, PeerAddress, Slot } from '../../providers/datagram-provider.js'
import type { Sent } from '../channel.js'
import { Route } from './route.js'
import { type Rest, type SendCalls, Sender, systemCalls } from './sender.js'
import { sockaddr } from './sockaddr.js'
import { type Departing, type Run, STAGE_DATAGRAMS, type Stage, stage } from './stage.js'
import { systemError } from './system-error.js'
import { WaitingLine } from './waiting-line.js'

/** What a channel does for its sending half. */
export interface OutgoingHost {
  /** Should writable() be called when the system has room? Must not call anything of ours. */
  wantWritable(wanted: boolean): void
  /** An ICMP error of a connected socket, which cost no datagram. Called in a tick of its own. */
  failed(error: Error): void
  /** Nothing waits for room any more. Called in a tick of its own. */
  drained(): void
}

const { ECANCELED, EINVAL, ENOBUFS } = constants.errno
/** How many datagrams are tried when the system says that it has room again; more each time that it had. */
const firstTrial = 16
/** Strangers cause flights: no more of these wait. What is lost is sent again by those who handshake. */
const waitingFlights = 1024
/** A datagram for which the system never has the memory, and says so at once, must not be tried for ever. */
const patience = 1000

export class Outgoing implements Departing {
  readonly #family: 4 | 6
  readonly #host: OutgoingHost
  readonly #segments: boolean
  readonly #stage: Stage
  readonly #sender: Sender
  /** What is staged, in the order in which it leaves. */
  #first: Run | undefined
  #last: Run | undefined
  /** What the socket is connected to. */
  #connection: { readonly name: Uint32Array | undefined } | undefined
  #closed = false
  /** What waits for room; then everything else waits behind it. */
  readonly #line = new WaitingLine()
  #blocked = false
  #trial = firstTrial
  /** Since when nothing has left for want of memory. */
  #starvedSince: number | undefined

  /**
   * @param fd a bound socket that does not block; not touched after close()
   * @param segments does the system cut messages into datagrams (UDP_SEGMENT)?
   */
  constructor(
    fd: number,
    family: 4 | 6,
    host: OutgoingHost,
    segments: boolean,
    calls: SendCalls = systemCalls,
  ) {
    this.#family = family
    this.#host = host
    this.#segments = segments
    this.#stage = stage()
    this.#sender = new Sender(fd, family, this.#stage, calls, error => {
      this.#tell(() => host.failed(error), null)
    })
  }

  /** Datagrams that the system had no room for. */
  get queued(): { readonly datagrams: number; readonly bytes: number } {
    return this.#line
  }

  /** As of DatagramChannel. */
  reserve(bytes: number): Slot {
    return this.#stage.reserve(bytes)
  }

  /** As of DatagramChannel. */
  commit(length: number, to: Destination, sent?: Sent): void {
    let route = to.route as Route | undefined
    // An interface that is made anew has another number: looked up once a tick.
    if (route?.owner !== this || (route.isScoped && route.run === undefined)) {
      route = new Route(this, this.#family, to)
      to.route = route
    }
    this.#commit(length, route, sent)
  }

  /** As of DatagramChannel. It leaves after all that was committed before, and before all that comes later. */
  send(datagram: Uint8Array, address: string, port: number, sent?: Sent): void {
    const { arena, offset } = this.reserve(datagram.length)
    arena.bytes.set(datagram, offset)
    const route = new Route(this, this.#family, { address, port }, true)
    this.#commit(datagram.length, route, sent)
  }

  #commit(length: number, route: Route, sent: Sent | undefined): void {
    if (this.#blocked || this.#closed || route.name === undefined)
      this.#detain(this.#stage.unstaged(length), route, sent)
    else this.#add(this.#stage.add(length, sent), length, route)
    if (this.#stage.isDue()) this.#stage.flush()
  }

  /** What is not to leave now. */
  #detain(datagram: Uint8Array, route: Route, sent: Sent | undefined): void {
    if (this.#closed) this.#fail(ECANCELED, route, sent)
    else if (route.name === undefined) this.#fail(EINVAL, route, sent)
    else if (route.isBarrier && this.#line.flights >= waitingFlights)
      this.#fail(ENOBUFS, route, sent)
    else this.#line.push(datagram, route, sent)
  }

  #fail(errno: number, route: Route, sent: Sent | undefined): void {
    if (sent !== undefined) this.#tell(sent, systemError(-errno, 'send', route))
  }

  #tell(sent: Sent, error: Error | null): void {
    this.#stage.callbacks.add(sent, error)
    this.#stage.callbacks.runLater()
  }

  /** A staged datagram goes on with the run of its destination, or begins one. */
  #add(datagram: number, length: number, route: Route): void {
    const { run } = route
    if (
      run?.route === route &&
      length <= run.segment &&
      run.count < UDP_MAX_SEGMENTS &&
      run.bytes + length <= UDP_MAX_BYTES
    ) {
      this.#stage.nexts[run.last] = datagram
      run.last = datagram
      run.count += 1
      run.bytes += length
      // Only the last one of a message may be shorter.
      if (length < run.segment) route.run = undefined
      return
    }
    if (route.isBarrier) endRuns(this.#first)
    if (route.connection !== this.#connection) this.#compare(route)
    const started = this.#stage.startRun(datagram, length, route)
    const mayGrow = this.#segments && length < route.tooLargeToSegment
    route.run = mayGrow ? started : undefined
    if (this.#last === undefined) {
      this.#first = started
      this.#stage.departs(this)
    } else this.#last.next = started
    this.#last = started
  }

  /** Is it what the socket is connected to? */
  #compare(route: Route): void {
    const connection = this.#connection
    const { name } = route
    const other = connection?.name
    route.connection = connection
    route.isPeer =
      name !== undefined && other !== undefined && name.every((word, at) => word === other[at])
  }

  /** As of DatagramChannel; of all channels of this thread. */
  flush(): void {
    this.#stage.flush()
  }

  /** Called by the stage: what is staged leaves, or waits. */
  depart(): void {
    // By now the descriptor may be somebody else's.
    if (this.#closed) this.#abandon()
    else this.#depart()
  }

  /** Where this is cut off, it is done again: a peer takes no datagram twice. */
  #depart(): void {
    const first = this.#first
    if (first === undefined) return
    endRuns(first)
    const lost = this.#stage.collect()
    if (lost !== undefined) {
      this.#abandon(lost)
      return
    }
    try {
      const rest = this.#sender.send(first)
      if (rest !== undefined) this.#block(rest)
      else this.#starvedSince = undefined
    } catch (error) {
      this.#abandon(error as Error)
      throw error
    }
    this.#first = undefined
    this.#last = undefined
  }

  /** What is staged never leaves. */
  #abandon(error?: Error): void {
    const { nexts } = this.#stage
    for (let run = this.#first; run !== undefined; run = run.next) {
      let datagram = run.first
      for (let left = run.count; left > 0; left -= 1) {
        const route = run.route as Route
        this.#stage.fail(datagram, error ?? systemError(-ECANCELED, 'send', route))
        datagram = nexts[datagram] as number
      }
    }
    this.#first = undefined
    this.#last = undefined
  }

  /** The rest stands before all that waits already: it has been tried again. */
  #block({ run: first, datagram: from, errno }: Rest): void {
    const { arena, offsets, sizes, nexts } = this.#stage
    const rest = new WaitingLine()
    let datagram = from
    for (let run: Run | undefined = first; run !== undefined; run = run.next) {
      if (run !== first) datagram = run.first
      for (;;) {
        const start = offsets[datagram] as number
        const bytes = arena.bytes.subarray(start, start + (sizes[datagram] as number))
        rest.push(bytes, run.route as Route, this.#stage.take(datagram))
        if (datagram === run.last) break
        datagram = nexts[datagram] as number
      }
    }
    this.#line.prepend(rest)
    if (errno === ENOBUFS) this.#starvedSince ??= performance.now()
    else this.#starvedSince = undefined
    if (this.#blocked) return
    this.#blocked = true
    this.#host.wantWritable(true)
  }

  /** The system has room: a part of what waits is given to it, so that others get their turn. */
  writable(): void {
    if (!this.#blocked || this.#closed) return
    const staging = this.#stage
    staging.flush()
    const before = this.#line.datagrams
    for (let left = this.#trial; left > 0; left -= 1) {
      const { first } = this.#line
      if (first === undefined || !staging.hasRoom(first.datagram.length)) break
      this.#line.shift()
      const { datagram, route, sent } = first
      const { arena, offset } = staging.reserve(datagram.length)
      arena.bytes.set(datagram, offset)
      this.#add(staging.add(datagram.length, sent), datagram.length, route)
    }
    const tried = before - this.#line.datagrams
    staging.flush()
    if (this.#line.datagrams + tried > before) this.#trial = firstTrial
    else this.#trial = Math.min(this.#trial * 2, STAGE_DATAGRAMS)
    if (this.#line.datagrams === before) this.#giveUpStarved()
    else this.#starvedSince = undefined
    if (this.#line.first !== undefined) return
    this.#blocked = false
    this.#trial = firstTrial
    this.#host.wantWritable(false)
    this.#tell(this.#drained, null)
  }

  #giveUpStarved(): void {
    if (this.#starvedSince === undefined || performance.now() - this.#starvedSince < patience)
      return
    this.#starvedSince = undefined
    const given = this.#line.shift()
    if (given !== undefined) this.#fail(ENOBUFS, given.route, given.sent)
  }

  readonly #drained: Sent = () => this.#host.drained()

  /** The socket was connected to that, or disconnected (null). */
  connected(to: PeerAddress | null): void {
    this.#sender.connected = to !== null
    this.#connection =
      to === null ? undefined : { name: sockaddr(this.#family, to.address, to.port) }
  }

  /** As of DatagramChannel. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    try {
      this.#depart()
    } finally {
      for (let each = this.#line.shift(); each !== undefined; each = this.#line.shift())
        this.#fail(ECANCELED, each.route, each.sent)
    }
  }
}

/** What comes later leaves in runs of its own, whoever it goes to. */
function endRuns(first: Run | undefined): void {
  for (let run = first; run !== undefined; run = run.next) (run.route as Route).run = undefined
}
