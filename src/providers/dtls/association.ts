/**
 * One DTLS association with one peer, without I/O: it is given the records that have come and the
 * messages that are to go, and gives back datagrams, messages and the time of its next step.
 */
import { EventEmitter } from 'eventemitter3'
import type { SecurityInfo } from '../../model/security-info.js'
import type { ParsedSettings } from '../../model/settings.js'
import type { TargetName } from '../../model/target-name.js'
import type { Clock } from '../datagram-provider.js'

export type AssociationRole = 'client' | 'server'
export type AssociationState = 'new' | 'handshaking' | 'secured' | 'ended'

export interface AssociationEvents {
  /** To be sent: one UDP datagram of a flight, or an alert. The buffer is the receiver's. */
  datagram: [datagram: Buffer]
  /** Authenticated application data. The buffer is the receiver's for ever. */
  message: [message: Buffer]
  /** The handshake is complete and the peer has proved what it must. */
  secured: []
  /** The handshake failed, or the association died. Nothing follows. */
  failed: [error: Error]
  /** The peer's authenticated close_notify. Nothing follows. */
  closed: []
  /** Client: what can be resumed (the DER form of an SSL_SESSION). */
  session: [session: Buffer]
  /** Only with `keylog: true`: a line in NSS's format, without its line end. */
  keylog: [line: Buffer]
}

export interface AssociationOptions {
  readonly settings: ParsedSettings
  readonly role: AssociationRole
  /** `address:port`, for messages. */
  readonly peer: string
  /** Whom the peer must prove to be; undefined only for a server's stranger. */
  readonly targetName?: TargetName | undefined
  /** The application set the name itself. */
  readonly targetNameSet: boolean
  /** Client: the session to resume. */
  readonly session?: Buffer | undefined
  /** Bytes of UDP payload that a datagram of a handshake may have. */
  readonly mtu: number
  readonly clock: Clock
}

export class Association extends EventEmitter<AssociationEvents> {
  readonly role: AssociationRole
  /** ClientHello.random of this handshake (32 bytes), known after start(). */
  random: Buffer | null = null
  /** When tick() wants to be called, by the clock; Infinity: never. */
  deadline = Number.POSITIVE_INFINITY
  /** Client: the peer has answered our ClientHello with more than a HelloVerifyRequest. */
  heardServerHello = false
  retransmissions = 0
  /** Since the handshake was complete. */
  recordsSent = 0
  recordsReceived = 0
  /** Bytes of plaintext. */
  bytesSent = 0
  bytesReceived = 0
  /** The shortest record of epoch ≥ 1 that can be authentic with this cipher; 24 while it is unknown. */
  minimumRecord = 24

  #state: AssociationState = 'new'

  /** @throws SocketSecurityError EINVAL, ENOCREDENTIAL, EPROTO for settings that cannot be used */
  constructor(options: AssociationOptions) {
    super()
    this.role = options.role
  }

  get state(): AssociationState {
    return this.#state
  }

  /**
   * Client: sends the ClientHello. Server: goes on from the cookie-verified ClientHello.
   * @param hello server: the whole records of the datagram that carried it
   */
  start(_hello?: Buffer): void {
    throw new Error('not yet')
  }

  /**
   * Takes whole, screened records of one datagram.
   * @returns whether the protocol went on because of them: something was authentic, or part of the handshake
   */
  receive(_records: Buffer): boolean {
    throw new Error('not yet')
  }

  /**
   * Protects a message: one record, which is the caller's.
   * @throws SocketSecurityError EMSGSIZE above 16384 bytes
   */
  send(_message: Buffer): Buffer {
    throw new Error('not yet')
  }

  /** Retransmits what is due. */
  tick(): void {
    throw new Error('not yet')
  }

  /** Says close_notify and ends. No events afterwards but the datagram of it. */
  close(): void {
    throw new Error('not yet')
  }

  /** Ends without a word. No events afterwards. */
  destroy(): void {
    throw new Error('not yet')
  }

  query(): SecurityInfo {
    throw new Error('not yet')
  }

  /** RFC 5705. */
  exportKeyingMaterial(_length: number, _label: string, _context?: Buffer): Buffer {
    throw new Error('not yet')
  }
}
