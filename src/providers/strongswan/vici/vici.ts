/** A connection to strongSwan's daemon, as the rest of the provider sees it. */
import type { Message, Section } from './section.js'

export interface RequestOptions {
  /** Gives up waiting: rejects with ECANCELED. What the daemon has begun, it goes on with. */
  readonly signal?: AbortSignal | undefined
  /** Milliseconds until ETIMEDOUT, the time in the queue included. Default: 10,000. Infinity: never. */
  readonly timeout?: number | undefined
}

/**
 * One connection. Requests wait for each other, so what takes long (initiate, terminate) wants a
 * connection of its own. Every promise rejects with a SocketSecurityError; all that is under way
 * does when the connection ends. Callbacks run outside of whatever context asked for the connection.
 */
export interface Vici {
  /**
   * Asks for something.
   * @throws (rejects) SocketSecurityError, a CommandError where the daemon says `success = no`
   */
  request(command: string, message?: Message, options?: RequestOptions): Promise<Section>
  /**
   * Asks for something that is answered in events (list-sas, list-conns, list-policies; initiate
   * with control-log), and resolves with what ends them.
   * @param each called with each event, before this resolves. What it throws rejects this.
   */
  stream(
    command: string,
    message: Message,
    event: string,
    each: (section: Section) => void,
    options?: RequestOptions,
  ): Promise<Section>
  /**
   * Listens to what the daemon tells unasked (ike-updown, child-updown…), from when this resolves
   * until the connection ends.
   * @param listener what it throws ends the connection
   */
  on(event: string, listener: (section: Section) => void): Promise<void>
  /** Resolves when the connection has ended, with the reason. Never rejects. */
  readonly closed: Promise<Error>
  /** Ends it. Idempotent. */
  close(): void
  /** Whether it keeps the process alive: it does until unref(). */
  ref(): void
  unref(): void
}
