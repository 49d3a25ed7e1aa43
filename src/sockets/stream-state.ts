/**
 * What a SecureSocket knows beyond a net.Socket. Kept under a symbol and made on first touch, since
 * the base constructor calls setters before ours has run, and since old code calls constructors on
 * objects of its own (`net.Socket.call(this)`).
 */
import type { Socket } from 'node:net'
import type { SecurityInfo } from '../model/security-info.js'
import type { ParsedSettings, SecuritySettings } from '../model/settings.js'
import type { TargetName } from '../model/target-name.js'
import type { SettingsSource } from '../policy/source.js'
import type { PeerAddress } from '../providers/datagram-provider.js'
import type { Connection, Dial } from '../providers/provider.js'
import type { Deferred } from './completion.js'
import type { TcpHandle } from './net-internals.js'
import type { OnreadGate } from './onread.js'

export class StreamState {
  /** node:net's own handle; null in channel mode. */
  handle: unknown = null
  /** What was asked for in options while the policy refused it: the connect fails, or finds another policy. */
  asked: SecuritySettings | null = null
  /** Where its settings come from, once they are set. */
  source: SettingsSource | null = null
  /** The settings as they were when they were asked for last. */
  settings: ParsedSettings | null = null
  targetName: TargetName | null = null
  /** A verb that failed, and was not called with success since: the connect that relies on it fails with it (R12). */
  securityFailure: Error | null = null
  nameFailure: Error | null = null
  /** Why the last connection was not secured. */
  outcome: Error | null = null
  /** connect() has been called, and the socket was not destroyed since. */
  connecting = false
  /** Where to, as connect() was told. */
  dialled: PeerAddress | null = null
  /** When, by a clock that nobody sets; and how many milliseconds after it was secured. */
  begun = 0
  connectedAfter: number | null = null
  /** It is a server's. */
  accepted = false
  dial: Dial | null = null
  /** In native mode: sees every handle that node:net makes, before it connects. */
  armHandle: ((handle: Partial<TcpHandle>) => void) | null = null
  /** In native mode: when what is waited for must have come. */
  deadline: NodeJS.Timeout | undefined = undefined
  /** The stream that carries the protected bytes. */
  channel: Socket | null = null
  /** What the provider knows of the channel; kept after the end. */
  connection: Connection | null = null
  established = false
  /** 'connectionAttempt' is being emitted, in native mode. */
  attempting = false
  /** 'connect' has just been emitted. */
  announcing = false
  /** Once secured, this socket never falls back to clear text (R15). */
  securedBefore = false
  /** The write that waits for the channel. */
  waiting: { write(channel: Socket): void; fail(error: Error): void } | null = null
  /** Somebody has asked for data, before there was a channel. */
  wanted = false
  /** Somebody has asked for the channel's data. */
  reading = false
  /** The channel has ended, and the application has not read all of it yet. */
  endHeld = false
  unreferenced = false
  noDelay = false
  /** The arguments of setKeepAlive(). */
  keepAlive: unknown[] | null = null
  onread: OnreadGate | null = null
  signal: AbortSignal | null = null
  secured: Deferred<SecurityInfo> | null = null
}

const key = Symbol('secure-socket.state')

export function stateOf(socket: object): StreamState {
  const holder = socket as { [key]?: StreamState }
  const found = holder[key]
  if (found) return found
  const state = new StreamState()
  // Asked of a prototype, as whoever looks at it does: there all sockets would find it.
  if (Object.hasOwn(socket, 'constructor')) return state
  Object.defineProperty(socket, key, { value: state, configurable: true })
  return state
}

/** It begins anew, as what it is. */
export function forgetState(socket: object): void {
  Reflect.deleteProperty(socket, key)
}
