/**
 * The connections that a program makes: where one begins, it becomes a SecureSocket's, unless the
 * policy leaves it in clear.
 */
import dns from 'node:dns'
import nodeNet, { type Socket, type TcpNetConnectOpts } from 'node:net'
import tls from 'node:tls'
import { SocketSecurityError } from '../model/errors.js'
import type { Flow } from '../model/policy/flows.js'
import { isClearOnPurpose } from '../providers/clear-connection.js'
import { connectArguments } from '../sockets/connect-arguments.js'
import { netSocket } from '../sockets/net-internals.js'
import { SecureSocket } from '../sockets/secure-socket.js'
import { continueInClear, giveBack, takenPrototype, takeOver } from '../sockets/take-over.js'
import { isTaken } from '../sockets/taken.js'
import { isClear, isUndecided } from './decisions.js'
import { dispatch, replace } from './dispatch.js'
import { hasMethod } from './other-copies.js'

type Connect = (this: Socket, ...args: unknown[]) => Socket

const secureConnect = SecureSocket.prototype.connect as unknown as Connect

export function secureConnections(): void {
  const { prototype } = nodeNet.Socket
  dispatch(prototype, SecureSocket.prototype, isTaken, ['connect'])
  replace(prototype, 'connect', connecting)
  // Each time it connects is decided anew.
  Reflect.set(takenPrototype, 'connect', prototype.connect)
}

function connecting(connectInClear: Connect): Connect {
  return function (...args) {
    if (!isTaken(this) && isLeftAlone(this)) return connectInClear.apply(this, args)
    const [options, callback] = connectArguments(args)
    const flow = flowOf(options as unknown as TcpNetConnectOpts)
    if (flow !== undefined && isClear(flow)) {
      if (isTaken(this)) giveBack(this)
      return connectInClear.apply(this, args)
    }
    if (!isTaken(this)) {
      // Node's own errors of arguments come before anything else.
      if (flow === undefined) return connectInClear.apply(this, args)
      if (hasHandle(this)) return this.destroy(notFresh())
      // net.connect() gives both the same options.
      takeOver(this, (options as { signal?: AbortSignal }).signal)
    }
    if (flow === undefined || !isUndecided(flow)) return secureConnect.apply(this, args)
    const lookup = decidingLookup(
      this,
      options as unknown as TcpNetConnectOpts,
      flow,
      connectInClear,
    )
    return secureConnect.call(this, { ...options, lookup }, callback ?? undefined)
  }
}

/** TLS is left as it is; what is secured already is not secured twice. */
function isLeftAlone(socket: Socket): boolean {
  return (
    socket instanceof tls.TLSSocket ||
    socket instanceof SecureSocket ||
    isClearOnPurpose(socket) ||
    // Of another copy of this library.
    hasMethod(socket, 'querySecurity')
  )
}

/**
 * Undefined where the arguments name no peer.
 * @throws TypeError for a host that is no string, as Node from version 22 on: Node 20 makes an address
 * of some, and would end the process
 */
function flowOf({ port, host, ...rest }: TcpNetConnectOpts & { path?: unknown }): Flow | undefined {
  if (rest.path) return { transport: 'pipe', direction: 'out' }
  if (port === undefined) return undefined
  if (host && typeof host !== 'string') throw invalidHost(host)
  return { transport: 'tcp', direction: 'out', host: host || 'localhost', port: Number(port) }
}

function invalidHost(host: unknown): Error {
  const message = `The "options.host" property must be of type string. Received ${typeof host}`
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_TYPE' })
}

function hasHandle(socket: Socket): boolean {
  return !socket.destroyed && Boolean(Reflect.get(netSocket, '_handle', socket))
}

function notFresh(): Error {
  return new SocketSecurityError(
    'EISCONN',
    'a socket that has a handle already cannot be secured: connect a new one, or let the policy leave that peer in clear',
  )
}

type Addresses = string | { address: string; family: number }[]
type LookupCallback = (error: Error | null, addresses: Addresses, family?: number) => void
type Lookup = (host: string, options: { all?: boolean }, callback: LookupCallback) => void

/**
 * A look-up that decides by what it finds, and holds to it. Clear is what is clear at every address
 * that the connection could go to.
 */
function decidingLookup(
  socket: Socket,
  options: TcpNetConnectOpts,
  flow: Flow,
  connectInClear: Connect,
): Lookup {
  const lookup = (options.lookup ?? dns.lookup) as unknown as Lookup
  // Node says it best.
  if (typeof lookup !== 'function') return lookup
  return (host, lookupOptions, callback) =>
    lookup(host, lookupOptions, (error, addresses, family) => {
      const found = error ? [] : addressesOf(addresses)
      if (found.length === 0 || !found.every(address => isClear({ ...flow, address })))
        return callback(error, addresses, family)
      const pinned: Lookup = (_host, { all }, answer) =>
        all || !Array.isArray(addresses)
          ? answer(null, addresses, family)
          : answer(null, found[0] as string, addresses[0]?.family)
      continueInClear(socket, () => connectInClear.call(socket, { ...options, lookup: pinned }))
    })
}

function addressesOf(addresses: Addresses): string[] {
  return Array.isArray(addresses) ? addresses.map(({ address }) => address) : [addresses]
}
