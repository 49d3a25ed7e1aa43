/** The vector of struct mmsghdr that sendmmsg reads. One for a thread, filled anew for each call. */
import { SOL_UDP, UDP_SEGMENT } from '../../../lib/linux-sockets.js'
import { type Arena, createArena, type Pointer } from '../../../lib/memory.js'
import {
  cmsgData,
  cmsgLevel,
  cmsgType,
  iovLen,
  msgControl,
  msgControllen,
  msgIov,
  msgIovlen,
  msgName,
  msgNamelen,
  setPointer,
  sizeofIovec,
  sizeofMmsghdr,
} from './mmsghdr.js'
import { SOCKADDR_WORDS } from './sockaddr.js'
import { STAGE_DATAGRAMS, type Stage } from './stage.js'

/** Messages in one call: their headers stay in the first cache. */
export const HEADERS = 256

/** CMSG_SPACE and CMSG_LEN of a uint16_t. */
const segmentControlSpace = 24
const segmentControlLength = 18

// What each message has for itself, in bytes.
const sizeofName = SOCKADDR_WORDS * 4
const sizeofControl = 32
// Where they stand, one table behind the other; the vector is first.
const namesAt = HEADERS * sizeofMmsghdr
/** One more, for a datagram without a header. */
const controlsAt = namesAt + (HEADERS + 1) * sizeofName
const iovecsAt = controlsAt + HEADERS * sizeofControl
const arenaBytes = iovecsAt + STAGE_DATAGRAMS * sizeofIovec

export class MessageHeaders {
  readonly #stage: Stage
  readonly #arena: Arena = createArena(arenaBytes)
  readonly #words: Uint32Array
  /** Entries in use of the table of struct iovec. */
  #iovecs = 0

  constructor(stage: Stage) {
    this.#stage = stage
    const { bytes, address } = this.#arena
    bytes.fill(0)
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, arenaBytes / 4)
    this.#words = words
    for (let index = 0; index < HEADERS; index += 1) {
      const header = (index * sizeofMmsghdr) / 4
      const control = controlsAt + index * sizeofControl
      setPointer(words, header + msgName, address + namesAt + index * sizeofName)
      setPointer(words, header + msgControl, address + control)
      words[control / 4] = segmentControlLength
      words[control / 4 + cmsgLevel] = SOL_UDP
      words[control / 4 + cmsgType] = UDP_SEGMENT
    }
  }

  /** Where the header of that index stands. */
  addressOf(index: number): Pointer {
    return this.#arena.address + index * sizeofMmsghdr
  }

  /** Copies a sockaddr to a place where the system can read it, until the next call. */
  setName(name: Uint32Array): Pointer {
    this.#copyName(name, HEADERS)
    return this.#arena.address + namesAt + HEADERS * sizeofName
  }

  #copyName(name: Uint32Array, index: number): void {
    const words = this.#words
    const at = (namesAt + index * sizeofName) / 4
    for (let word = 0; word < SOCKADDR_WORDS; word += 1) words[at + word] = name[word] as number
  }

  /** The next call has messages of its own. */
  clear(): void {
    this.#iovecs = 0
  }

  /**
   * Fills in a header: datagrams of the stage, linked by its nexts, to one destination.
   * @param name a sockaddr of so many bytes; undefined for the one that the socket is connected to
   * @param segment what the system cuts the message into; 0 where it is one datagram
   */
  set(
    index: number,
    name: Uint32Array | undefined,
    nameBytes: number,
    first: number,
    count: number,
    segment: number,
  ): void {
    const words = this.#words
    const header = (index * sizeofMmsghdr) / 4
    if (name === undefined) words[header + msgNamelen] = 0
    else {
      words[header + msgNamelen] = nameBytes
      this.#copyName(name, index)
    }
    const iovecs = iovecsAt + this.#iovecs * sizeofIovec
    setPointer(words, header + msgIov, this.#arena.address + iovecs)
    words[header + msgIovlen] = this.#gather(first, count)
    if (segment === 0) words[header + msgControllen] = 0
    else {
      words[header + msgControllen] = segmentControlSpace
      words[(controlsAt + index * sizeofControl) / 4 + cmsgData] = segment
    }
  }

  /** Writes where the datagrams stand; what stands one behind the other is one piece. */
  #gather(first: number, count: number): number {
    const words = this.#words
    const { offsets, sizes, nexts, arena } = this.#stage
    let at = (iovecsAt + this.#iovecs * sizeofIovec) / 4
    let pieces = 0
    let datagram = first
    for (let left = count; left > 0; ) {
      const start = offsets[datagram] as number
      let end = start
      do {
        end += sizes[datagram] as number
        datagram = nexts[datagram] as number
        left -= 1
      } while (left > 0 && offsets[datagram] === end)
      setPointer(words, at, arena.address + start)
      words[at + iovLen] = end - start
      at += sizeofIovec / 4
      pieces += 1
    }
    this.#iovecs += pieces
    return pieces
  }
}
