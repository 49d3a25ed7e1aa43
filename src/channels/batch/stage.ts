/**
 * Where the datagrams of a thread stand that leave when this tick is over: those of all its
 * sockets, one behind the other in one memory, which the system reads them from.
 */
import { performance } from 'node:perf_hooks'
import process, { nextTick } from 'node:process'
import { type Arena, createArena } from '../../../lib/memory.js'
import type { Slot } from '../../providers/datagram-provider.js'
import type { Sent } from '../channel.js'
import { forgetTime, keepTime } from '../tick-time.js'
import { Callbacks } from './callbacks.js'
import type { Route } from './route.js'

/** What fits into a processor's second cache; what is more leaves earlier. */
export const STAGE_BYTES = 256 * 1024
/** As many messages as sendmmsg takes at once (UIO_MAXIOV). */
export const STAGE_DATAGRAMS = 1024

/** How long what was committed waits at most, in milliseconds, while listeners of what is read take their time. */
const PATIENCE_MS = 1

/** Whose datagrams stand here. */
export interface Departing {
  /** Gives the system what is staged, or takes it back. Calls nobody. */
  depart(): void
}

/** Datagrams for one destination that leave in one message: all of one size, but the last may be shorter. */
export class Run {
  route: Route | undefined
  /** Indices of datagrams, linked by Stage.nexts. */
  first = 0
  last = 0
  count = 0
  bytes = 0
  /** The size of the first one. */
  segment = 0
  /** What its channel sends after it. */
  next: Run | undefined
}

export class Stage {
  readonly arena: Arena = createArena(STAGE_BYTES)
  /** Of each datagram: where it stands, its length, and the index of the one behind it in its run. */
  readonly offsets = new Int32Array(STAGE_DATAGRAMS)
  readonly sizes = new Int32Array(STAGE_DATAGRAMS)
  readonly nexts = new Int32Array(STAGE_DATAGRAMS)
  /** What is told afterwards. */
  readonly callbacks = new Callbacks()

  /** There is no later tick. */
  isLast = false

  readonly #slot = {
    arena: this.arena,
    offset: 0,
    owe: (fill: () => void) => {
      this.#fill = fill
    },
  }
  /** What is staged does not all stand there before this was called. */
  #fill: (() => void) | undefined
  /** Why some of it does not. */
  #lost: Error | undefined
  readonly #sent: (Sent | undefined)[] = new Array(STAGE_DATAGRAMS).fill(undefined)
  readonly #runs: Run[] = Array.from({ length: STAGE_DATAGRAMS }, () => new Run())
  readonly #departing: (Departing | undefined)[] = []
  #channels = 0
  #failures: Map<number, Error> | undefined
  #somebodyWaits = false
  #datagrams = 0
  #runsUsed = 0
  #bytes = 0
  #reserved = 0
  #scheduled = false
  /** Somebody reads: commits since hold(), and when the second of them was. */
  #held = false
  #heldCommits = 0
  #heldSince = 0

  constructor() {
    // What was sent has left, also where the process ends in the same tick, or sends while it ends.
    process.on('exit', () => {
      this.isLast = true
      this.flush()
    })
  }

  /** Room for one datagram, until add() or the next reserve(). */
  reserve(bytes: number): Slot {
    if (!this.hasRoom(bytes)) {
      this.flush()
      if (bytes > STAGE_BYTES) throw new RangeError(`no datagram has ${bytes} bytes`)
    }
    // What was to stand there before must not be written later.
    if (this.#reserved !== 0) this.collect()
    this.#reserved = bytes
    this.#slot.offset = this.#bytes
    return this.#slot
  }

  hasRoom(bytes: number): boolean {
    return this.#bytes + bytes <= STAGE_BYTES && this.#datagrams < STAGE_DATAGRAMS
  }

  /** What was written to the reserved room, which is nobody's any longer. */
  unstaged(length: number): Buffer {
    this.#use(length)
    const lost = this.collect()
    if (lost !== undefined) throw lost
    const { offset } = this.#slot
    return this.arena.bytes.subarray(offset, offset + length)
  }

  /** The same, as a datagram that leaves at the end of this tick at the latest: its index. */
  add(length: number, sent: Sent | undefined): number {
    this.#use(length)
    const index = this.#datagrams
    this.#datagrams = index + 1
    this.offsets[index] = this.#bytes
    this.sizes[index] = length
    this.#bytes += length
    if (sent !== undefined) {
      this.#sent[index] = sent
      this.#somebodyWaits = true
    }
    return index
  }

  #use(length: number): void {
    const room = this.#reserved
    this.#reserved = 0
    if (length > room) throw new RangeError(`${length} bytes in room for ${room}`)
  }

  /** A run that consists of one datagram. */
  startRun(index: number, length: number, route: Route): Run {
    const run = this.#runs[this.#runsUsed] as Run
    this.#runsUsed += 1
    run.route = route
    run.first = index
    run.last = index
    run.count = 1
    run.bytes = length
    run.segment = length
    run.next = undefined
    return run
  }

  /** Has datagrams here now, and had none before. */
  departs(channel: Departing): void {
    this.#departing[this.#channels] = channel
    this.#channels += 1
    keepTime()
    if (this.#scheduled) return
    nextTick(this.#tick)
    this.#scheduled = true
  }

  /**
   * The caller calls release() himself, when this turn's reading is over: what is committed meanwhile
   * needs no tick of its own.
   * @returns false where a tick is scheduled already: then there is nothing to release
   */
  hold(): boolean {
    if (this.#scheduled) return false
    this.#scheduled = true
    this.#held = true
    this.#heldCommits = 0
    return true
  }

  /** What was committed since leaves, and callbacks are called. */
  release(): void {
    this.#held = false
    this.#tick()
  }

  /**
   * Asked after each commit: must it leave before the tick is over? There is no later one, or what is
   * read takes its listeners so long that the first answer would wait for the last. Who answers one or
   * two messages pays for no look at the clock.
   */
  isDue(): boolean {
    if (this.isLast) return true
    if (!this.#held) return false
    this.#heldCommits += 1
    if (this.#heldCommits === 1) return false
    const now = performance.now()
    if (this.#heldCommits === 2) this.#heldSince = now
    if (now - this.#heldSince < PATIENCE_MS) return false
    this.#heldSince = now
    return true
  }

  readonly #tick = () => {
    this.#scheduled = false
    try {
      this.#depart()
    } finally {
      this.callbacks.run()
    }
  }

  /** What is staged leaves, of all channels; callbacks follow in a later tick. */
  flush(): void {
    try {
      this.#depart()
    } finally {
      this.callbacks.runLater()
    }
  }

  /**
   * What is owed is written to its place.
   * @returns why nothing that is staged may leave
   */
  collect(): Error | undefined {
    const fill = this.#fill
    if (fill === undefined) return this.#lost
    try {
      fill()
    } catch (error) {
      this.#lost = error as Error
    }
    this.#fill = undefined
    return this.#lost
  }

  /** Where this is cut off (a script that has a timeout), the next one goes on with it. */
  #depart(): void {
    this.collect()
    let failure: unknown
    for (let index = 0; index < this.#channels; index += 1) {
      try {
        this.#departing[index]?.depart()
      } catch (error) {
        failure ??= error
      }
    }
    this.#clear()
    if (failure !== undefined) throw failure
  }

  #clear(): void {
    forgetTime()
    if (this.#somebodyWaits) this.#settle()
    // What is kept here would keep the socket and its peers.
    for (let index = 0; index < this.#runsUsed; index += 1)
      (this.#runs[index] as Run).route = undefined
    for (let index = 0; index < this.#channels; index += 1) this.#departing[index] = undefined
    this.#lost = undefined
    this.#channels = 0
    this.#datagrams = 0
    this.#runsUsed = 0
    this.#bytes = 0
  }

  #settle(): void {
    for (let index = 0; index < this.#datagrams; index += 1) {
      const sent = this.take(index)
      if (sent !== undefined) this.callbacks.add(sent, this.#failures?.get(index) ?? null)
    }
    this.#failures = undefined
    this.#somebodyWaits = false
  }

  /** Who waits for a datagram, which does not leave from here. */
  take(index: number): Sent | undefined {
    const sent = this.#sent[index]
    this.#sent[index] = undefined
    return sent
  }

  isWaitedFor(index: number): boolean {
    return this.#sent[index] !== undefined
  }

  /** That datagram did not leave and never will. */
  fail(index: number, error: Error): void {
    this.#failures ??= new Map()
    this.#failures.set(index, error)
  }
}

let made: Stage | undefined

/** The stage of this thread. */
export function stage(): Stage {
  made ??= new Stage()
  return made
}
