/**
 * A connection to the daemon: the queue of requests, the answers, which come in the same order, and
 * the events between them. It does not reconnect: what was asked for has to be asked for anew then,
 * and only whoever asked knows how.
 */
import type { Socket } from 'node:net'
import {
  CommandError,
  closedByUs,
  daemonLost,
  daemonSaysNonsense,
  tooMuchAsked,
} from '../daemon/errors.js'
import { decodeMessage } from './decode.js'
import { Exchange, type Streaming } from './exchange.js'
import {
  COMMAND_REQUEST,
  COMMAND_RESPONSE,
  decodePacket,
  EVENT,
  EVENT_CONFIRM,
  EVENT_REGISTER,
  encodePacket,
  type Packet,
  Packets,
} from './packets.js'
import { type Message, type Section, textOf } from './section.js'
import type { RequestOptions, Vici } from './vici.js'
import { Waiting } from './waiting.js'

/** A caller that asks faster than the daemon answers gets an error before memory ends. */
const MAX_WAITING = 10_000
/** These answer without `success`; a change that does not say that it was made was not. */
const readsOnly = /^(?:version|stats|list-|get-)/
/** Bytes of the events of one answer. A hundred thousand associations take less. */
const MAX_STREAM = 256 * 1024 * 1024

export class ViciConnection implements Vici {
  readonly closed: Promise<Error>
  readonly #socket: Socket
  readonly #path: string
  readonly #packets = new Packets()
  /** The first is the one that the daemon works on. */
  readonly #queue: Exchange[] = []
  /** What the daemon was asked to tell: once, since it would tell it twice. */
  readonly #registered = new Map<string, Promise<unknown>>()
  readonly #listeners = new Map<string, ((section: Section) => void)[]>()
  /** Bytes of events since the last answer. */
  #streamed = 0
  #ended: Error | undefined
  #resolveClosed!: (error: Error) => void

  /** @param socket connected to the daemon; it is the connection's from now on */
  constructor(socket: Socket, path: string) {
    this.#socket = socket
    this.#path = path
    this.closed = new Promise(resolve => {
      this.#resolveClosed = resolve
    })
    socket.on('data', chunk => this.#read(chunk as Buffer))
    socket.on('error', error => this.#end(daemonLost(path, error)))
    socket.on('close', () => this.#end(daemonLost(path)))
  }

  request(command: string, message?: Message, options?: RequestOptions): Promise<Section> {
    return this.#command(command, message, options)
  }

  stream(
    command: string,
    message: Message,
    event: string,
    each: (section: Section) => void,
    options?: RequestOptions,
  ): Promise<Section> {
    return this.#command(command, message, options, { event, each })
  }

  async on(event: string, listener: (section: Section) => void): Promise<void> {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener])
    const waiting = new Waiting<unknown>(`the registration of ${event}`, {})
    this.#register(event).then(
      () => waiting.succeed(undefined),
      error => waiting.fail(error),
    )
    await waiting.done
  }

  close(): void {
    this.#end(closedByUs())
  }

  ref(): void {
    this.#socket.ref()
  }

  unref(): void {
    this.#socket.unref()
  }

  async #command(
    command: string,
    message: Message | undefined,
    options: RequestOptions = {},
    streaming?: Streaming,
  ): Promise<Section> {
    const packet = encodePacket(COMMAND_REQUEST, command, message)
    const exchange = new Exchange(command, packet, COMMAND_RESPONSE, options, streaming)
    // The time runs already. It stays registered: such events go only to whoever asks for them.
    if (streaming === undefined) this.#ask(exchange)
    else
      this.#register(streaming.event).then(
        () => this.#ask(exchange),
        error => {
          packet.fill(0)
          exchange.fail(error)
        },
      )
    const answer = await exchange.done
    if (!readsOnly.test(command) && textOf(answer, 'success') !== 'yes')
      throw new CommandError(command, textOf(answer, 'errmsg'))
    return answer
  }

  /** Whoever gives up waiting for it leaves it to the others. */
  #register(event: string): Promise<unknown> {
    const known = this.#registered.get(event)
    if (known !== undefined) return known
    const packet = encodePacket(EVENT_REGISTER, event)
    const endless = { timeout: Number.POSITIVE_INFINITY }
    const exchange = new Exchange(event, packet, EVENT_CONFIRM, endless)
    this.#registered.set(event, exchange.done)
    this.#ask(exchange)
    return exchange.done
  }

  #ask(exchange: Exchange): void {
    if (this.#ended !== undefined) exchange.fail(this.#ended)
    else if (this.#queue.length >= MAX_WAITING) exchange.fail(tooMuchAsked(MAX_WAITING))
    if (exchange.settled) exchange.packet.fill(0)
    else if (this.#queue.push(exchange) === 1) this.#send(exchange)
  }

  #send({ packet }: Exchange): void {
    this.#socket.write(packet, () => packet.fill(0))
  }

  /** The first has its answer. */
  #next(): void {
    this.#streamed = 0
    this.#queue.shift()
    while (this.#queue[0]?.settled) this.#queue.shift()?.packet.fill(0)
    if (this.#queue[0] !== undefined) this.#send(this.#queue[0])
  }

  #read(chunk: Buffer): void {
    try {
      for (const bytes of this.#packets.push(chunk)) {
        if (this.#ended !== undefined) return
        this.#receive(decodePacket(bytes))
      }
    } catch (error) {
      this.#end(daemonSaysNonsense(this.#path, error as Error))
    }
  }

  #receive(packet: Packet): void {
    const current = this.#queue[0]
    if (packet.type === EVENT) {
      this.#event(packet, current)
    } else if (current === undefined) {
      throw new Error('an answer that nobody has asked for')
    } else {
      current.answer(packet)
      this.#next()
    }
  }

  #event({ name, message }: Packet, current: Exchange | undefined): void {
    if (current?.streaming?.event === name) {
      this.#streamed += message.length
      if (this.#streamed > MAX_STREAM)
        throw new Error(`one answer in events of more than ${MAX_STREAM} bytes`)
      current.event(message)
    }
    const listeners = this.#listeners.get(name)
    if (listeners === undefined) return
    const section = decodeMessage(message)
    try {
      for (const listener of listeners) listener(section)
    } catch (error) {
      this.#end(error as Error)
    }
  }

  #end(error: Error): void {
    if (this.#ended !== undefined) return
    this.#ended = error
    this.#socket.destroy()
    this.#listeners.clear()
    for (const exchange of this.#queue.splice(0)) {
      exchange.packet.fill(0)
      exchange.fail(error)
    }
    this.#resolveClosed(error)
  }
}
