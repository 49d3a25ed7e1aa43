/**
 * What a SecureDgramSocket knows beyond a dgram.Socket. Kept under a symbol and made on first touch,
 * since the base constructor can close the socket before ours has run (an aborted signal), and since
 * old code calls constructors on objects of its own.
 */
import type { BlockList } from 'node:net'
import type { ChannelKind, DatagramChannel } from '../../channels/channel.js'
import type { SocketState } from '../../model/lifecycle.js'
import type { DatagramSecuritySettings, ParsedSettings } from '../../model/settings.js'
import type { TargetName } from '../../model/target-name.js'
import type { SettingsSource } from '../../policy/source.js'
import type {
  DatagramEndpoint,
  NativeDatagramProvider,
  NativeDatagramSocket,
  PeerAddress,
} from '../../providers/datagram-provider.js'
import type { NativeEndpoint } from '../../providers/native/endpoint.js'
import type { Deferred } from '../completion.js'
import type { Alarm } from './alarm.js'
import type { ChannelChoice } from './channel-choice.js'
import type { UdpHandle } from './handle.js'
import type { AddressOfSocket } from './internals.js'
import { Resolver } from './resolver.js'
import { WaitingCalls } from './waiting.js'

/** A target name that was set before there was an endpoint. */
export interface EarlyName extends PeerAddress {
  readonly name: TargetName
}

/** Which provider and endpoint stand behind a socket that the system secures. */
export interface NativeMode {
  readonly provider: NativeDatagramProvider
  readonly endpoint: NativeEndpoint
  /** What was made for Node's handle; null before. */
  socket: NativeDatagramSocket | null
}

export class DgramState {
  /** What was asked for in options while the policy refused it: what relies on it fails, or finds another policy. */
  asked: DatagramSecuritySettings | null = null
  /** Where its settings come from, once they are set. */
  source: SettingsSource | null = null
  /** The settings as they were when they were asked for last. */
  settings: ParsedSettings | null = null
  /** A verb that failed, and was not called with success since: what relies on it fails with it (R12). */
  securityFailure: Error | null = null
  /** The same of target names, by the address as it was given and the port. */
  nameFailures: Map<string, Error> | null = null
  endpoint: DatagramEndpoint | null = null
  /** The option of the constructor. */
  channelOption: ChannelKind | null = null
  /** How its datagrams are to travel; null before there is an endpoint. */
  channelChoice: ChannelChoice | null = null
  /** How its datagrams travel; null before it is bound, and with the portable one before the first leaves. */
  channel: DatagramChannel | null = null
  /** Where the system secures the packets. */
  native: NativeMode | null = null
  /** Peers that this socket speaks to in clear, where an administrator has said so of an unmodified program. */
  speaksClearWith: ((address: string, port: number) => boolean) | null = null
  earlyNames: EarlyName[] = []
  /** Names that were set for a host: they hold for every address that it is found at. */
  hostNames: Map<string, TargetName> | null = null
  /** Names that were set for an address, by whichever way. */
  addressNames: Map<string, TargetName> | null = null
  resolver = new Resolver()
  sendBlockList: BlockList | null = null
  receiveBlockList: BlockList | null = null
  /** The option of the constructor that lets others take the port (R9). */
  reuse: 'reuseAddr' | 'reusePort' | null = null

  bind: 'unbound' | 'binding' | 'bound' = 'unbound'
  /** bind() is called by our own send() or connect(), not by the application. */
  bindingImplicitly = false
  /** The application has called bind(): strangers may come. */
  boundExplicitly = false
  /** Node's handle with the socket that was prepared for it, where one had to be. */
  handle: UdpHandle | null = null
  /** The descriptor of that socket, where it is of our own making on Linux; else -1. */
  descriptor = -1
  /** Gives up waiting for what the system does before the socket is bound or connected. */
  giveUp: (() => void) | null = null
  /** What is done next when the socket is bound. */
  afterBinding: (() => void) | null = null
  /** The system has chosen the port. */
  chosenPort = false
  own: AddressOfSocket | null = null

  connect: 'none' | 'connecting' | 'connected' = 'none'
  /** What connect() was given: the target name where none is set. */
  host = ''
  remote: AddressOfSocket | null = null
  /** Settles when connect() has, for those who wait for it. */
  connection: Deferred<void> | null = null

  waiting = new WaitingCalls()
  /** Hosts that are being looked up: for datagrams, and for target names how often. */
  lookups = 0
  nameLookups = new Map<string, number>()
  /** secure() calls that have not settled. */
  securing = 0

  alarm: Alarm | null = null
  /** How deep we are inside the endpoint. */
  depth = 0
  signal: AbortSignal | null = null
  /** unref() was called: what may come keeps no process alive. */
  unreferenced = false
  /** close() was called: no message is delivered, and nothing new is sent. */
  closing = false
  /** Ends the waiting of close(). */
  linger: NodeJS.Timeout | undefined
  /** Its last event has been emitted. */
  ended = false
  /** The base socket is closed, or closes when Node has bound it. */
  closed = false
  /** ICMP errors of which there is nobody else to tell. */
  icmpErrors = 0
}

const key = Symbol('secure-socket.dgram-state')

export function stateOf(socket: object): DgramState {
  const holder = socket as { [key]?: DgramState }
  const found = holder[key]
  if (found) return found
  const state = new DgramState()
  // Asked of a prototype, as whoever looks at it does: there all sockets would find it.
  if (Object.hasOwn(socket, 'constructor')) return state
  Object.defineProperty(socket, key, { value: state })
  return state
}

/** The state as the rules ask for it. */
export function socketState(state: DgramState): SocketState {
  return {
    closed: state.closing,
    foreign: false,
    connected: state.connect !== 'none',
    bound: state.bind !== 'unbound',
    secured: state.settings !== null,
  }
}
