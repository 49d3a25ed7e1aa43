/**
 * Between the socket and its endpoint: what the endpoint gives goes to the network or to the
 * application, and its deadline to the clock.
 */

import { AsyncResource } from 'node:async_hooks'
import type { RemoteInfo, Socket } from 'node:dgram'
import { performance } from 'node:perf_hooks'
import type { DatagramChannel } from '../../channels/channel.js'
import { PortableChannel } from '../../channels/portable.js'
import { tickTime } from '../../channels/tick-time.js'
import { SocketSecurityError } from '../../model/errors.js'
import type { PeerIdentity } from '../../model/peer-identity.js'
import { peerText } from '../../model/peer-text.js'
import type { ParsedSettings } from '../../model/settings.js'
import { nameByPolicy } from '../../policy/chosen-target-name.js'
import { settingsFor } from '../../policy/settings-source.js'
import type { SettingsSource } from '../../policy/source.js'
import {
  type DatagramEndpoint,
  type EndpointObserver,
  type Outbox,
  type PeerAddress,
  type SendCallback,
  unheard,
} from '../../providers/datagram-provider.js'
import type { ChooseName } from '../../providers/datagrams/target-names.js'
import { NativeEndpoint } from '../../providers/native/endpoint.js'
import { datagramProvider } from '../../providers/select.js'
import { nameKey, sameAddress } from './addresses.js'
import { Alarm } from './alarm.js'
import { chooseChannel, nativeChannel } from './channel-choice.js'
import { hasIcmpCode } from './errors.js'
import { handleOf } from './handle.js'
import { dgramSocket } from './internals.js'
import { strangeHandle } from './opening.js'
import { typeOf } from './resolver.js'
import type { SentCallback } from './send-arguments.js'
import { type DgramState, stateOf } from './state.js'

/** Where a message comes from, and who has sent it. */
export interface SecureRemoteInfo extends RemoteInfo {
  /** Who the peer is, as authenticated; none where it did not have to authenticate itself, or is this socket. */
  peer?: PeerIdentity | undefined
  /** The target name that was set for the peer, which it has proved. */
  targetName?: string | undefined
}

/** Datagrams of handshakes that wait for the system, as many as in a batch channel. */
const MOST_FLIGHTS_QUEUED = 1024

const clock = { now: () => performance.now(), tickTime, wallTime: () => Date.now() }

/**
 * The socket's endpoint, made at its first use.
 * @throws SocketSecurityError why the socket cannot be secured: then nothing may be sent
 */
export function endpointOf(socket: Socket): DatagramEndpoint {
  const state = stateOf(socket)
  if (state.endpoint) return state.endpoint
  if (state.securityFailure) throw state.securityFailure
  state.source ??= settingsFor(state.asked, 'datagram') // R1
  state.settings = state.source.current()
  const endpoint = makeEndpoint(socket, state, state.source, state.settings)
  state.alarm = new Alarm(() => within(socket, state, () => endpoint.tick()))
  state.endpoint = endpoint
  const { earlyNames } = state
  state.earlyNames = []
  for (const { address, port, name } of earlyNames) {
    try {
      endpoint.setTargetName(address, port, name)
    } catch (error) {
      // One peer's name is no affair of the others.
      state.nameFailures ??= new Map()
      state.nameFailures.set(nameKey(address, port), error as Error)
    }
  }
  updateAcceptance(state)
  return endpoint
}

function makeEndpoint(
  socket: Socket,
  state: DgramState,
  source: SettingsSource,
  settings: ParsedSettings,
): DatagramEndpoint {
  const provider = datagramProvider(settings)
  const chooseName: ChooseName = (address, port, set) =>
    nameByPolicy(set, state.settings, { transport: 'udp', direction: 'out', address, port })
  if (provider.mode === 'channel') {
    state.channelChoice = chooseChannel(state.channelOption)
    const both = { ...observer(socket, state), ...outbox(socket, state) }
    return provider.createEndpoint({ current: () => source.current(), clock, chooseName }, both)
  }
  state.channelChoice = nativeChannel(state.channelOption)
  const enter = (call: () => void) => within(socket, state, call)
  const request = { settings, clock, provider, enter, chooseName }
  const endpoint = new NativeEndpoint(request, observer(socket, state))
  state.native = { provider, endpoint, socket: null }
  return endpoint
}

/** Strangers may come to a socket that was bound for them, while it is not connected to one peer. */
export function updateAcceptance({ endpoint, bind, boundExplicitly, connect }: DgramState): void {
  if (endpoint)
    endpoint.acceptsStrangers = boundExplicitly && bind === 'bound' && connect === 'none'
}

/** What the network brings; `segment` where it is several datagrams of one source (DatagramEndpoint.receive). */
export function receive(
  socket: Socket,
  state: DgramState,
  datagrams: Buffer,
  address: string,
  port: number,
  segment?: number,
): void {
  const { endpoint } = state
  if (state.speaksClearWith?.(address, port)) {
    deliverInClear(socket, datagrams, address, port, segment)
    return
  }
  // Nobody has spoken to anybody yet: what comes was sent to whoever had the port before.
  if (endpoint === null) return
  const strange = state.native && strangeHandle(socket, state)
  if (strange) {
    failForGood(socket, state, strange)
    return
  }
  state.depth += 1
  try {
    endpoint.receive(datagrams, address, port, segment)
  } finally {
    state.depth -= 1
    afterwards(socket, state)
  }
}

/** As node:dgram would have told them, one by one; their memory is another's after this call. */
function deliverInClear(
  socket: Socket,
  datagrams: Buffer,
  address: string,
  port: number,
  segment = Math.max(datagrams.length, 1),
): void {
  const family = typeOf(socket) === 'udp6' ? 'IPv6' : 'IPv4'
  for (let at = 0; at === 0 || at < datagrams.length; at += segment) {
    const message = Buffer.from(datagrams.subarray(at, at + segment))
    const rinfo = { address, family, port, size: message.length }
    dgramSocket.emit.call(socket, 'message', message, rinfo)
  }
}

/** A message of the application, to a peer whose address is known. */
export function protect(
  socket: Socket,
  state: DgramState,
  message: Buffer,
  address: string,
  port: number,
  host: string,
  callback: SentCallback | undefined,
): void {
  const strange = state.native && strangeHandle(socket, state)
  if (strange) {
    if (callback) process.nextTick(callback, strange)
    process.nextTick(failForGood, socket, state, strange)
    return
  }
  const endpoint = state.endpoint as DatagramEndpoint
  const completion = callback && new Completion(state, callback)
  state.depth += 1
  try {
    endpoint.send(message, address, port, host, completion ? completion.done : unheard)
  } finally {
    state.depth -= 1
    if (completion) process.nextTick(afterSend, completion)
    afterwards(socket, state)
  }
}

function afterSend(completion: Completion): void {
  completion.tick()
}

/** Calls the endpoint, and then does what its answers ask for. */
export function within<T>(socket: Socket, state: DgramState, call: () => T): T {
  state.depth += 1
  try {
    return call()
  } finally {
    state.depth -= 1
    afterwards(socket, state)
  }
}

function afterwards(socket: Socket, state: DgramState): void {
  const { endpoint, alarm } = state
  if (endpoint === null || state.closed) return
  alarm?.set(endpoint.deadline, endpoint.queued.datagrams > 0 || state.securing > 0)
  if (state.closing) process.nextTick(finishWhenDone, socket, state)
}

/** Closes, once all has left that was given to send() before (R24). */
export function finishWhenDone(socket: Socket, state: DgramState): boolean {
  if (state.closed) return true
  const waits =
    state.waiting.datagrams > 0 ||
    state.lookups > 0 ||
    (state.endpoint?.queued.datagrams ?? 0) > 0 ||
    waitsInChannel(state) ||
    waitsInNode(socket, state)
  if (!waits) finish(socket, state)
  return !waits
}

/** It tells when that has left. */
function waitsInChannel({ channel }: DgramState): boolean {
  channel?.flush()
  return channel !== null && channel.queued.datagrams > 0
}

/** What Node has not sent yet would be thrown away with the security of a socket of the system's. */
function waitsInNode(socket: Socket, { native, handle }: DgramState): boolean {
  if (native === null || handle === null || handleOf(socket) !== handle) return false
  return Number(dgramSocket.getSendQueueCount.call(socket)) > 0
}

/** Ends all security and closes the socket under it. */
export function finish(socket: Socket, state: DgramState): void {
  if (state.closed) return
  state.depth += 1
  try {
    state.endpoint?.close()
  } finally {
    state.depth -= 1
    state.closed = true
    state.giveUp?.()
    state.alarm?.clear()
    clearTimeout(state.linger)
    state.channel?.close()
    dgramSocket.close.call(socket)
  }
}

/** What Node would speak through is not what was secured: nothing may come of it. */
export function failForGood(socket: Socket, state: DgramState, error: Error): boolean {
  if (state.closed) return false
  state.closing = true
  state.waiting.fail(error)
  if (state.handle !== handleOf(socket)) state.handle?.close()
  finish(socket, state)
  return dgramSocket.emit.call(socket, 'error', error)
}

/**
 * The callback of a send(): never inside of that call, and in the async context of it. Whoever knows
 * the outcome tells many at once, in a context of its own; so the callback has a tick of its own.
 */
class Completion {
  readonly #state: DgramState
  readonly #callback: SentCallback
  #isKnown = false
  #error: Error | null = null
  #bytes: number | undefined
  /** Where the tick has come before the outcome. */
  #context: AsyncResource | undefined

  constructor(state: DgramState, callback: SentCallback) {
    this.#state = state
    this.#callback = callback
  }

  readonly done: SendCallback = (error, bytes) => {
    if (this.#context === undefined) {
      this.#isKnown = true
      this.#error = error
      this.#bytes = bytes
      return
    }
    // Inside the endpoint nobody else's code may run: it could throw, or close the socket.
    const call = this.#state.depth === 0 ? this.#callback : this.#later
    this.#context.runInAsyncScope(call, this, error, bytes)
  }

  /** The tick after the call: what was staged has left by now. */
  tick(): void {
    // What has not will be told by a datagram, a timer or the system, which know nothing of this call.
    if (!this.#isKnown) this.#context = new AsyncResource('SECUREDGRAMSEND')
    else this.#callback.call(undefined, this.#error, this.#bytes)
  }

  #later(error: Error | null, bytes: number | undefined): void {
    process.nextTick(this.#callback, error, bytes)
  }
}

/** How the socket's datagrams travel; node:dgram's way, unless another was made before it was bound. */
function channelOf(socket: Socket, state: DgramState): DatagramChannel {
  state.channel ??= new PortableChannel((datagram, address, port, sent) =>
    transmit(socket, state, datagram, address, port, sent),
  )
  return state.channel
}

function outbox(socket: Socket, state: DgramState): Outbox {
  return {
    reserve: bytes => channelOf(socket, state).reserve(bytes),
    commit(length, to, sent) {
      const refused = elsewhere(socket, state, to)
      if (refused) sent?.(refused)
      else channelOf(socket, state).commit(length, to, sent)
    },
  }
}

/** Why nothing can go there: a connected socket has one peer. */
function elsewhere(socket: Socket, state: DgramState, to: PeerAddress): Error | undefined {
  if (!isConnected(socket, state) || state.remote === null) return undefined
  const { address, port } = state.remote
  if (to.port === port && sameAddress(to.address, address)) return undefined
  return connectedElsewhere(to.address, to.port, state.remote)
}

/** Does the queue of node:dgram, which has no bound, hold more than what a batch channel would keep? */
function isFull(socket: Socket, state: DgramState): boolean {
  // What the system secures are messages of the application's.
  if (state.native !== null || channelOf(socket, state).kind !== 'portable') return false
  const waiting = handleOf(socket) ? Number(dgramSocket.getSendQueueCount.call(socket)) : 0
  return waiting >= MOST_FLIGHTS_QUEUED
}

function queueFull(address: string, port: number): Error {
  const peer = peerText(address, port)
  return new SocketSecurityError('ENOBUFS', `too much waits to leave: nothing goes to ${peer}`, {
    syscall: 'send',
    peer,
  })
}

function observer(socket: Socket, state: DgramState): EndpointObserver {
  return {
    datagram(datagram, address, port, sent) {
      const refused = elsewhere(socket, state, { address, port })
      if (refused) sent?.(refused)
      // Strangers make us answer them; what is lost is asked for again.
      else if (isFull(socket, state)) sent?.(queueFull(address, port))
      else channelOf(socket, state).send(datagram, address, port, sentBy(socket, state, sent))
    },
    message(message, { address, port, peer, targetName }) {
      if (state.closing) return
      const family = address.includes(':') ? 'IPv6' : 'IPv4'
      const rinfo = { address, family, port, size: message.length, peer, targetName }
      try {
        dgramSocket.emit.call(socket, 'message', message, rinfo)
      } catch (error) {
        rethrowLater(error)
      }
    },
    secured: (peer, info) => tell(socket, 'secure', peer, info),
    peerError: (error, peer) => tell(socket, 'peerError', error, peer),
    peerClosed: peer => tell(socket, 'peerClose', peer),
    keylog: (line, peer) => tell(socket, 'keylog', line, peer),
  }
}

/** Who closes waits for what the system has not sent yet. */
function sentBy(
  socket: Socket,
  state: DgramState,
  sent: ((error: Error | null) => void) | undefined,
): ((error: Error | null) => void) | undefined {
  if (state.native === null) return sent
  return error => {
    sent?.(error)
    if (state.closing) process.nextTick(finishWhenDone, socket, state)
  }
}

/** What a listener throws is the process's affair, as in node:dgram, and not the endpoint's. */
export function tell(socket: Socket, event: string, ...args: unknown[]): void {
  try {
    dgramSocket.emit.call(socket, event, ...args)
  } catch (error) {
    rethrowLater(error)
  }
}

function rethrowLater(error: unknown): void {
  process.nextTick(() => {
    throw error
  })
}

/** A protected datagram leaves, at once: our own resolver does not make an address wait. */
function transmit(
  socket: Socket,
  state: DgramState,
  datagram: Buffer,
  address: string,
  port: number,
  sent: ((error: Error | null) => void) | undefined,
): void {
  const strange = state.native && strangeHandle(socket, state)
  if (strange) {
    sent?.(strange)
    process.nextTick(failForGood, socket, state, strange)
    return
  }
  const { resolver } = state
  resolver.literal = true
  try {
    if (isConnected(socket, state) && state.remote) sendConnected(socket, datagram, sent)
    else dgramSocket.send.call(socket, datagram, port, address, sent)
  } catch (error) {
    sent?.(error as Error)
  } finally {
    resolver.literal = false
  }
}

export function connectedElsewhere(address: string, port: number, remote: PeerAddress): Error {
  const peer = peerText(address, port)
  return new SocketSecurityError(
    'EISCONN',
    `nothing can go to ${peer}: the socket is connected to ${peerText(remote.address, remote.port)}`,
    { peer },
  )
}

/** Also before the event tells it, which comes a tick later. */
export function isConnected(socket: Socket, state: DgramState): boolean {
  if (state.connect === 'connecting' && !state.closed) onConnected(socket, state)
  return state.connect === 'connected'
}

/** The base socket is connected, or will be, or has been. */
export function onConnected(socket: Socket, state: DgramState): void {
  try {
    const remote = dgramSocket.remoteAddress.call(socket)
    state.channel?.connected?.(remote)
    state.remote = remote
    state.connect = 'connected'
    state.connection?.resolve()
    updateAcceptance(state)
  } catch {
    // Not yet, or disconnected again before this was told.
  }
}

/** The first send after an ICMP error fails with it, although nothing is wrong with that datagram. */
function sendConnected(
  socket: Socket,
  datagram: Buffer,
  sent: ((error: Error | null) => void) | undefined,
): void {
  dgramSocket.send.call(socket, datagram, (error: Error | null) => {
    if (!hasIcmpCode(error) || stateOf(socket).closed) sent?.(error)
    else dgramSocket.send.call(socket, datagram, sent)
  })
}
