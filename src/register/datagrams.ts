/**
 * The datagrams of a program: a socket becomes a SecureDgramSocket's when it is bound, connected, or
 * sends, unless the policy leaves what it does in clear. One socket can have peers of both kinds.
 */
import nodeDgram, { type RemoteInfo, type Socket } from 'node:dgram'
import dns from 'node:dns'
import { portOf } from '../sockets/dgram/binding.js'
import { handleOf, nodeStateOf } from '../sockets/dgram/handle.js'
import { dgramSocket } from '../sockets/dgram/internals.js'
import { type Lookup, loopback, typeOf } from '../sockets/dgram/resolver.js'
import { stateOf } from '../sockets/dgram/state.js'
import { type KnownOptions, takenPrototype, takeOver } from '../sockets/dgram/take-over.js'
import { SecureDgramSocket } from '../sockets/secure-dgram-socket.js'
import { isTaken } from '../sockets/taken.js'
import { ClearPeers } from './clear-peers.js'
import { isClear, isClearInbound, isUndecided, someAreClear } from './decisions.js'
import { dispatch, replace } from './dispatch.js'
import { hasMethod } from './other-copies.js'

type Method = (this: Socket, ...args: unknown[]) => unknown

const secure = SecureDgramSocket.prototype as unknown as Record<string, Method>

/** What createSocket() was told. */
const known = new WeakMap<Socket, KnownOptions>()
/** To be connected to a peer that stays clear. While they are, they are Node's own altogether. */
const clear = new WeakSet<Socket>()
/** Told to bind to a port that stays clear. Whom they speak to themselves is decided for each peer. */
const boundInClear = new WeakSet<Socket>()
/** Whom the others speak to in clear; of those that are not taken, they speak to nobody else. */
const clearPeers = new WeakMap<Socket, ClearPeers>()

const binds = ['bind', 'bindSync']
const connects = ['connect', 'connectSync']
/** A group has no one peer: what is secured refuses it. */
const groups = ['addMembership', 'addSourceSpecificMembership', 'setBroadcast']

export function secureDatagrams(): void {
  const { prototype } = nodeDgram.Socket
  const others = [...binds, ...connects, ...groups, 'disconnect', 'send', 'emit']
  dispatch(prototype, SecureDgramSocket.prototype, isTaken, others)
  // Older versions of Node have not all of them.
  const replaceEach = (names: string[], replacement: (name: string) => (own: Method) => Method) => {
    for (const name of names) if (name in prototype) replace(prototype, name, replacement(name))
  }
  replaceEach(binds, binding)
  replaceEach(connects, connecting)
  replaceEach(groups, joining)
  replace(prototype, 'disconnect', disconnecting)
  replace(prototype, 'send', sending)
  replace(prototype, 'emit', emitting)
  // Some of what a socket does after it has been taken over is decided here as well.
  for (const name of others)
    if (name in prototype) Reflect.set(takenPrototype, name, Reflect.get(prototype, name))
  replace(nodeDgram, 'createSocket', remembering)
}

/** The socket does not keep all of its options. */
function remembering(createSocket: (...args: unknown[]) => Socket): typeof createSocket {
  // Declared, since an arrow has no `new`: there are programs that say `new createSocket()`.
  function remember(...args: unknown[]): Socket {
    const socket = createSocket(...args)
    const { lookup, signal } = Object(args[0]) as KnownOptions
    known.set(socket, { lookup, signal, handleLookup: handleOf(socket)?.lookup })
    return socket
  }
  return remember
}

function isLeftAlone(socket: Socket): boolean {
  if (isTaken(socket)) return false
  // Explicit ones, also of another copy of this library, see to themselves; Node says it best what
  // cannot be done with one that is closed.
  return (
    isClearAs(socket, 2) ||
    hasMethod(socket, 'querySecurity') ||
    nodeStateOf(socket).handle === null
  )
}

/** @param connectState as Node counts: 1 while it is being connected, 2 when it is */
function isClearAs(socket: Socket, connectState: number): boolean {
  return clear.has(socket) && nodeStateOf(socket).connectState === connectState
}

/** Does Node bind it by itself, for what is said in clear? */
function isBoundByNode(socket: Socket): boolean {
  if (isTaken(socket)) return false
  return isClearAs(socket, 1) || (clearPeers.has(socket) && !boundInClear.has(socket))
}

function take(socket: Socket): void {
  if (isTaken(socket)) return
  takeOver(socket, known.get(socket))
  if (!someAreClear('udp')) return
  const peers = peersOf(socket)
  stateOf(socket).speaksClearWith = (address, port) => peers.has(address, port)
}

function peersOf(socket: Socket): ClearPeers {
  const found = clearPeers.get(socket)
  if (found) return found
  const peers = new ClearPeers(() => ownPort(socket))
  clearPeers.set(socket, peers)
  return peers
}

function ownPort(socket: Socket): number | undefined {
  try {
    return dgramSocket.address.call(socket).port
  } catch {
    return undefined
  }
}

function binding(name: string): (bind: Method) => Method {
  return bind =>
    function (...args) {
      if (isLeftAlone(this) || isBoundByNode(this)) return bind.apply(this, args)
      // Where that port is taken, the program may try another one.
      if (!isTaken(this) && isBoundInClear(args)) {
        boundInClear.add(this)
        peersOf(this)
        return bind.apply(this, args)
      }
      take(this)
      return secure[name]?.apply(this, args)
    }
}

/** Whoever sends to it. */
function isBoundInClear([options, second]: unknown[]): boolean {
  return isClearInbound('udp', portOf(options), Object(options).address ?? second)
}

function connecting(name: string): (connect: Method) => Method {
  return connect =>
    function (...args) {
      if (isLeftAlone(this)) return connect.apply(this, args)
      const [port, host] = args
      const address = typeof host === 'string' && host !== '' ? host : loopback(typeOf(this))
      const flow = {
        transport: 'udp',
        direction: 'out',
        host: address,
        port: Number(port),
      } as const
      if (!isTaken(this) && isClear(flow)) {
        clear.add(this)
        return connect.apply(this, args)
      }
      take(this)
      return secure[name]?.apply(this, args)
    }
}

function disconnecting(disconnect: Method): Method {
  return function (...args) {
    if (isTaken(this)) return secure.disconnect?.apply(this, args)
    const result = disconnect.apply(this, args)
    // Others may send to it now, and it to others.
    if (clear.delete(this)) peersOf(this)
    return result
  }
}

function joining(name: string): (join: Method) => Method {
  return join =>
    function (...args) {
      if (isLeftAlone(this) || (clearPeers.has(this) && !isTaken(this)))
        return join.apply(this, args)
      take(this)
      return secure[name]?.apply(this, args)
    }
}

function sending(send: Method): Method {
  return function (...args) {
    if (isLeftAlone(this)) return send.apply(this, args)
    const to = someAreClear('udp') ? destinationOf(this, args) : undefined
    if (to === undefined) {
      take(this)
      return secure.send?.apply(this, args)
    }
    const { host, port } = to
    if (peersOf(this).takes(host, port)) return send.apply(this, args)
    if (to.at === -1 || !isUndecided({ transport: 'udp', direction: 'out', host, port })) {
      take(this)
      return secure.send?.apply(this, args)
    }
    lookUp(this, host, (error, address) => {
      if (handleOf(this) === undefined) return
      if (error || !peersOf(this).takes(address, port)) {
        take(this)
        secure.send?.apply(this, args)
      } else {
        send.apply(
          this,
          args.map((each, index) => (index === to.at ? address : each)),
        )
      }
    })
  }
}

interface Destination {
  readonly host: string
  readonly port: number
  /** Where its host stands among the arguments; -1 where it does not. */
  readonly at: number
}

/**
 * Of send(message[, offset, length], port[, address][, callback]); undefined where that is none, and
 * whoever sends it says so.
 */
function destinationOf(socket: Socket, args: unknown[]): Destination | undefined {
  if (isTaken(socket) && stateOf(socket).connect !== 'none') {
    const { host, remote } = stateOf(socket)
    return remote ? { host: remote.address || host, port: remote.port, at: -1 } : undefined
  }
  const isSliced = Boolean(args[4] || (args[3] && typeof args[3] !== 'function'))
  const at = isSliced ? 4 : 2
  const host = args[at]
  const port = Number(args[at - 1])
  if (!Number.isInteger(port) || port < 1 || port > 65535) return undefined
  if (typeof host === 'string' && host !== '') return { host, port, at }
  return { host: loopback(typeOf(socket)), port, at: -1 }
}

function lookUp(
  socket: Socket,
  host: string,
  callback: (error: Error | null, address: string) => void,
): void {
  const lookup = (known.get(socket)?.lookup ?? dns.lookup) as Lookup
  lookup(host, typeOf(socket) === 'udp6' ? 6 : 4, callback)
}

function emitting(emit: Method): Method {
  return function (event, ...args) {
    if (isTaken(this)) return secure.emit?.call(this, event, ...args)
    if (event === 'message') {
      const { address, port } = Object(args[1]) as RemoteInfo
      // A stranger's, to a socket that speaks in clear with others.
      if (!isLeftAlone(this) && clearPeers.get(this)?.has(address, port) === false) return false
    }
    return emit.call(this, event, ...args)
  }
}
