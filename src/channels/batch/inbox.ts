/**
 * The memory that recvmmsg writes to: one for a thread, since what it brings has been dealt with
 * before the next call.
 */
import {
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_TRUNC,
  recvmmsg,
  SOL_UDP,
  UDP_GRO,
} from '../../../lib/linux-sockets.js'
import { type Arena, createArena } from '../../../lib/memory.js'
import type { PeerAddress } from '../../providers/datagram-provider.js'
import {
  cmsgData,
  cmsgLevel,
  cmsgType,
  iovLen,
  msgControl,
  msgControllen,
  msgFlags,
  msgIov,
  msgIovlen,
  msgLen,
  msgName,
  msgNamelen,
  setPointer,
  sizeofIovec,
  sizeofMmsghdr,
} from './mmsghdr.js'
import { SOCKADDR_WORDS, sourceAt } from './sockaddr.js'

/**
 * Messages in one call. Each may be as long as UDP has them, since it may stand for 64 datagrams; and
 * all that one call brings is dealt with before anything else gets its turn.
 */
export const INBOX_MESSAGES = 8

const messageBytes = 65535
/** No multiple of a page: the beginnings of messages must not displace each other from the cache. */
const messageStride = 65536 + 17 * 64

const sizeofName = SOCKADDR_WORDS * 4
/** More than CMSG_SPACE(sizeof(int)): nothing else is asked for. */
const sizeofControl = 64

const vectorAt = 0
const iovecsAt = vectorAt + INBOX_MESSAGES * sizeofMmsghdr
const namesAt = iovecsAt + INBOX_MESSAGES * sizeofIovec
const controlsAt = namesAt + INBOX_MESSAGES * sizeofName
const messagesAt = controlsAt + INBOX_MESSAGES * sizeofControl
const inboxBytes = messagesAt + INBOX_MESSAGES * messageStride

/** What one call has brought, until the next one. */
export interface Received {
  receive(fd: number, messages: number): number
  message(index: number): Buffer
  segment(index: number): number
  source(index: number): PeerAddress
}

let made: Inbox | undefined

/** This thread's. */
export function inbox(): Inbox {
  made ??= new Inbox()
  return made
}

export class Inbox implements Received {
  readonly #arena: Arena = createArena(inboxBytes)
  readonly #words: Uint32Array
  /** Headers that the system has written to. */
  #used = INBOX_MESSAGES

  constructor() {
    const { bytes, address } = this.#arena
    bytes.fill(0, 0, messagesAt)
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, messagesAt / 4)
    this.#words = words
    for (let index = 0; index < INBOX_MESSAGES; index += 1) {
      const header = headerOf(index)
      const iovecAt = iovecsAt + index * sizeofIovec
      setPointer(words, header + msgName, address + namesAt + index * sizeofName)
      setPointer(words, header + msgIov, address + iovecAt)
      words[header + msgIovlen] = 1
      setPointer(words, header + msgControl, address + controlsAt + index * sizeofControl)
      setPointer(words, iovecAt / 4, address + messagesAt + index * messageStride)
      words[iovecAt / 4 + iovLen] = messageBytes
    }
  }

  /** Reads at most so many messages: how many have come, or -errno where none has. */
  receive(fd: number, messages: number): number {
    this.#prepare()
    const received = recvmmsg(fd, this.#arena.address + vectorAt, messages, MSG_DONTWAIT)
    this.#used = Math.max(0, received)
    return received
  }

  /** Not to be kept. */
  message(index: number): Buffer {
    const start = messagesAt + index * messageStride
    const length = this.#words[headerOf(index) + msgLen] as number
    return this.#arena.bytes.subarray(start, start + length)
  }

  /** Datagrams in that message are of so many bytes, but the last; 0 where it has not come whole. */
  segment(index: number): number {
    const header = headerOf(index)
    if (((this.#words[header + msgFlags] as number) & (MSG_TRUNC | MSG_CTRUNC)) !== 0) return 0
    // An empty datagram is one of at most so many bytes, too.
    const length = (this.#words[header + msgLen] as number) || 1
    const controls = this.#words[header + msgControllen] as number
    return controls === 0 ? length : this.#groSize(index, controls) || length
  }

  source(index: number): PeerAddress {
    return sourceAt(this.#words, (namesAt + index * sizeofName) / 4)
  }

  #prepare(): void {
    for (let index = 0; index < this.#used; index += 1) {
      const header = headerOf(index)
      this.#words[header + msgNamelen] = sizeofName
      this.#words[header + msgControllen] = sizeofControl
    }
  }

  /** Of the control messages, the one that UDP_GRO asks for; 0 where there is none. */
  #groSize(index: number, length: number): number {
    let at = (controlsAt + index * sizeofControl) / 4
    const end = at + length / 4
    // The next one is aligned to 8 bytes.
    while (at + cmsgData < end) {
      const size = this.#words[at] as number
      if (this.#words[at + cmsgLevel] === SOL_UDP && this.#words[at + cmsgType] === UDP_GRO)
        return this.#words[at + cmsgData] as number
      if (size < 16) break
      at += Math.ceil(size / 8) * 2
    }
    return 0
  }
}

function headerOf(index: number): number {
  return (vectorAt + index * sizeofMmsghdr) / 4
}
