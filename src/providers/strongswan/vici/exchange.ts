/** One request and its answer: what waits in the queue of a connection. */
import { unknownCommand, unknownEvent } from '../daemon/errors.js'
import { decodeMessage } from './decode.js'
import {
  type COMMAND_RESPONSE,
  COMMAND_UNKNOWN,
  type EVENT_CONFIRM,
  EVENT_UNKNOWN,
  type Packet,
} from './packets.js'
import type { Section } from './section.js'
import type { RequestOptions } from './vici.js'
import { Waiting } from './waiting.js'

export interface Streaming {
  readonly event: string
  readonly each: (section: Section) => void
}

export class Exchange extends Waiting<Section> {
  /**
   * @param what the command or the event
   * @param packet may hold a key or a secret: overwritten as soon as it is written
   * @param expected what tells that it was understood
   */
  constructor(
    what: string,
    readonly packet: Buffer,
    readonly expected: typeof COMMAND_RESPONSE | typeof EVENT_CONFIRM,
    options: RequestOptions,
    readonly streaming?: Streaming | undefined,
  ) {
    super(what, options)
  }

  /**
   * One of the events that it has asked for.
   * @throws Error for what is no message
   */
  event(message: Buffer): void {
    if (this.settled) return
    const section = decodeMessage(message)
    try {
      this.streaming?.each(section)
    } catch (error) {
      this.fail(error as Error)
    }
  }

  /**
   * The packet that answers it.
   * @throws Error for what is no answer
   */
  answer({ type, message }: Packet): void {
    if (type === this.expected) this.succeed(decodeMessage(message))
    else if (type === COMMAND_UNKNOWN) this.fail(unknownCommand(this.what))
    else if (type === EVENT_UNKNOWN) this.fail(unknownEvent(this.what))
    else throw new Error(`a packet of type ${type} as the answer to ${this.what}`)
  }
}
