/** What can be counted at a stream and at a server of streams. */

import type { Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import type { Connection } from '../providers/provider.js'
import { addressOf, tellBegun, tellRefused } from './story.js'
import type { StreamState } from './stream-state.js'

/** A stream, now and after its end. */
export interface StreamStats {
  /** Bytes of the application that have been given to what secures them. */
  readonly bytesSent: number
  /** Bytes that the application has been given. */
  readonly bytesReceived: number
  /** Milliseconds from connect() to 'connect': look-up, TCP and handshake. Absent before, and at a server's socket. */
  readonly connectedAfter?: number
}

/** A server of streams. The counters only grow, but for the last two. */
export interface ServerStats {
  /** Handshakes that are complete, and whose client has proved what it must. */
  readonly handshakes: number
  /** Those of them that resumed a session. */
  readonly handshakesResumed: number
  /** Clients that were refused, or failed, or left: what `'tlsClientError'` tells. */
  readonly handshakesFailed: number
  /** Connections that allowInsecure has let in clear. */
  readonly insecure: number
  /** Connections whose handshake is under way now. */
  readonly handshaking: number
  /** TCP connections that are open now, those in their handshake too. */
  readonly connections: number
}

export function streamStats(
  { bytesRead, _bytesDispatched }: { bytesRead: number; _bytesDispatched: number },
  { connectedAfter }: StreamState,
): StreamStats {
  return {
    bytesSent: _bytesDispatched,
    bytesReceived: bytesRead,
    ...(connectedAfter === null ? {} : { connectedAfter }),
  }
}

/** For `connectedAfter`: a clock that nobody sets. */
export function now(): number {
  return performance.now()
}

/** The handshakes of a server: counted, and told to whoever wants to know. */
export class Handshakes {
  #handshaking = 0
  #secured = 0
  #resumed = 0
  #failed = 0
  #insecure = 0

  begun(raw: Socket, protocol: 'tls' | 'ipsec'): void {
    this.#handshaking += 1
    tellBegun('server', protocol, addressOf(raw))
  }

  established(connection: Connection): void {
    this.#handshaking -= 1
    if (!connection.secured) {
      this.#insecure += 1
      return
    }
    this.#secured += 1
    if (connection.resumed) this.#resumed += 1
  }

  refused(raw: Socket, protocol: 'tls' | 'ipsec', error: Error): void {
    this.#handshaking -= 1
    this.#failed += 1
    tellRefused(protocol, raw, error)
  }

  stats(connections: number): ServerStats {
    return {
      handshakes: this.#secured,
      handshakesResumed: this.#resumed,
      handshakesFailed: this.#failed,
      insecure: this.#insecure,
      handshaking: this.#handshaking,
      connections,
    }
  }
}
