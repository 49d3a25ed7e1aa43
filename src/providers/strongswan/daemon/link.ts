/**
 * The connection to the daemon that a process keeps: made when something is asked for, and again
 * after it was lost. It keeps the process alive only while an answer is awaited.
 */
import { connectVici } from '../vici/connect.js'
import type { Message, Section } from '../vici/section.js'
import type { RequestOptions, Vici } from '../vici/vici.js'

export interface LinkEvents {
  /** The daemon says that keys have come or gone. */
  event(name: string, section: Section): void
  /** The connection has ended, and not by close(). */
  lost(error: Error): void
}

const EVENTS = ['child-updown']

export class Link {
  readonly path: string
  readonly #events: LinkEvents
  #vici: Promise<Vici> | undefined
  #pending = 0

  constructor(path: string, events: LinkEvents) {
    this.path = path
    this.#events = events
  }

  request(command: string, message: Message = {}, options?: RequestOptions): Promise<Section> {
    return this.#awaited(vici => vici.request(command, message, options))
  }

  stream(
    command: string,
    message: Message,
    event: string,
    each: (section: Section) => void,
  ): Promise<Section> {
    return this.#awaited(vici => vici.stream(command, message, event, each))
  }

  /** Connects, where there is no connection. */
  connect(): Promise<void> {
    return this.#awaited(async () => {})
  }

  close(): void {
    const vici = this.#vici
    this.#vici = undefined
    vici?.then(
      each => each.close(),
      () => {},
    )
  }

  async #awaited<T>(ask: (vici: Vici) => Promise<T>): Promise<T> {
    const connecting = this.#vici ?? this.#connect()
    this.#vici = connecting
    const vici = await connecting
    if (this.#pending++ === 0) vici.ref()
    try {
      return await ask(vici)
    } finally {
      if (--this.#pending === 0) vici.unref()
    }
  }

  #connect(): Promise<Vici> {
    const connecting: Promise<Vici> = this.#open(() => this.#vici === connecting)
    connecting.catch(() => {
      if (this.#vici === connecting) this.#vici = undefined
    })
    return connecting
  }

  async #open(current: () => boolean): Promise<Vici> {
    const vici = await connectVici(this.path)
    void vici.closed.then(error => {
      if (!current()) return
      this.#vici = undefined
      this.#events.lost(error)
    })
    for (const event of EVENTS)
      await vici.on(event, section => {
        if (current()) this.#events.event(event, section)
      })
    return vici
  }
}
