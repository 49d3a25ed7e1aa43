/**
 * The connections that a program accepts: a server that is not one of TLS gets them when they are
 * secured, unless the policy leaves them in clear.
 */
import assert from 'node:assert'
import cluster from 'node:cluster'
import nodeNet, { type Server, type Socket } from 'node:net'
import tls from 'node:tls'
import { unsupportedFamily } from '../model/lifecycle.js'
import type { Flow } from '../model/policy/flows.js'
import type { Policy } from '../model/policy/policy.js'
import { connectArguments } from '../sockets/connect-arguments.js'
import { SecureServer } from '../sockets/secure-server.js'
import { SecureSocket } from '../sockets/secure-socket.js'
import { isTaken } from '../sockets/taken.js'
import { isClear, isClearInbound, policyNow, someAreClear } from './decisions.js'
import { replace } from './dispatch.js'
import { hasMethod } from './other-copies.js'

type Method = (this: Server, ...args: unknown[]) => unknown
type Emit = (this: Server, event: string | symbol, ...args: unknown[]) => boolean

const { prototype } = nodeNet.Server
const secure = SecureServer.prototype as unknown as Record<'listen' | 'close', Method> & {
  emit: Emit
}

/** Servers that have been told to listen, and are secured. */
const listening = new WeakSet<Server>()
/** Those that listen where all is clear, by the policy of then. */
const listeningInClear = new WeakMap<Server, Policy>()

export function isSecuredServer(value: unknown): boolean {
  return value instanceof SecureServer || listening.has(value as Server)
}

export function secureServers(): void {
  replace(prototype, 'listen', listen => {
    return function (this: Server, ...args) {
      const policy = isListenedInClear(args) && policyNow()
      if (policy) listeningInClear.set(this, policy)
      else listeningInClear.delete(this)
      if (isLeftAlone(this) || isOfCluster(this) || policy) {
        listening.delete(this)
        return listen.apply(this, args)
      }
      listening.add(this)
      showOnlySecured(this)
      return secure.listen.apply(this, args)
    }
  })
  replace(prototype, 'close', close => {
    return function (this: Server, ...args) {
      return (listening.has(this) ? secure.close : close).apply(this, args)
    }
  })
  replace(prototype, 'emit', emit => {
    return function (this: Server, event, ...args) {
      switch (event) {
        case 'connection':
          if (isLeftAlone(this) || isAcceptedInClear(this, args[0])) break
          if (isRaw(args[0])) return accept(this, args[0], emit)
          hideAbsentProtocol(args[0])
          break
        case 'listening':
        case 'close':
          if (listening.has(this)) return secure.emit.call(this, event, ...args)
      }
      return emit.call(this, event, ...args)
    }
  })
}

/** TLS is left as it is; a SecureServer sees to itself. */
function isLeftAlone(server: Server): boolean {
  return (
    server instanceof tls.Server ||
    server instanceof SecureServer ||
    // Of another copy of this library.
    hasMethod(server, 'setSecurity')
  )
}

/** The primary of a cluster listens for its workers, who accept: a server of theirs can be one of TLS. */
function isOfCluster(server: Server): boolean {
  return cluster.isPrimary && server.listeners('connection')[0] === assert.fail
}

/** Whoever connects: else it is decided for each connection. */
function isListenedInClear(args: unknown[]): boolean {
  const [options] = connectArguments(args)
  const { path, port, host } = options as { path?: unknown; port?: unknown; host?: unknown }
  if (path) return isClear({ transport: 'pipe', direction: 'in' })
  return isClearInbound('tcp', port, host)
}

/** Its own, while the policy is the one by which it listens; what it is handed by somebody else is decided by itself. */
function isAcceptedInClear(server: Server, socket: unknown): boolean {
  const policy = listeningInClear.get(server)
  return (
    policy !== undefined &&
    policy === policyNow() &&
    (socket as { server?: unknown } | null)?.server === server
  )
}

/** A connection that nobody has secured, or decided to leave in clear. */
function isRaw(socket: unknown): socket is Socket {
  return (
    socket instanceof nodeNet.Socket &&
    !(socket instanceof tls.TLSSocket) &&
    !(socket instanceof SecureSocket) &&
    !isTaken(socket) &&
    ['TCP', 'Pipe'].includes(handleName(socket))
  )
}

function handleName(socket: Socket): string {
  return (socket as { _handle?: object | null })._handle?.constructor.name ?? ''
}

function accept(server: Server, raw: Socket, emit: Emit): boolean {
  const isPipe = handleName(raw) === 'Pipe'
  const flow: Flow = isPipe
    ? { transport: 'pipe', direction: 'in' }
    : { transport: 'tcp', direction: 'in', address: raw.remoteAddress, port: raw.localPort }
  if (someAreClear(flow.transport, 'in') && isClear(flow))
    return emit.call(server, 'connection', raw)
  try {
    if (isPipe) throw unsupportedFamily('a connection of a pipe')
    return secure.emit.call(server, 'connection', raw)
  } catch (error) {
    raw.destroy()
    return emit.call(server, 'tlsClientError', error, raw)
  }
}

/** For an HTTP/2 server of node:http2 a connection that agreed on no protocol is one of HTTP/1. */
function hideAbsentProtocol(socket: unknown): void {
  if (socket instanceof SecureSocket && socket.alpnProtocol === false)
    Object.defineProperty(socket, 'alpnProtocol', { value: undefined, configurable: true })
}

/** A class that overrides emit() would see what nobody has secured yet. */
function showOnlySecured(server: Server): void {
  const { emit } = prototype
  if (server.emit === emit || Object.hasOwn(server, 'emit')) return
  const theirs = Reflect.get(Object.getPrototypeOf(server), 'emit') as Emit
  Object.defineProperty(server, 'emit', {
    value: function (this: Server, event: string | symbol, ...args: unknown[]) {
      const isNotSecured = event === 'connection' && isRaw(args[0])
      return Reflect.apply(isNotSecured ? emit : theirs, this, [event, ...args])
    },
    writable: true,
    configurable: true,
  })
}
