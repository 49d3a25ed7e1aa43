/**
 * What console.log shows of our sockets: one line that tells what they are and what secures them. Of
 * a class of the application's, what its objects have of their own follows. Never a key, a password
 * or a pre-shared key; and whatever state it is in, looking at a socket does not fail.
 */
import type { Server, Socket } from 'node:net'
import { type InspectOptionsStylized, inspect } from 'node:util'
import { peerName, protectionText, securityText } from '../model/at-a-glance.js'
import { printable } from '../model/errors.js'
import { peerText } from '../model/peer-text.js'
import type { ParsedSettings } from '../model/settings.js'
import type { DgramState } from './dgram/state.js'
import { internals } from './net-internals.js'
import { type StreamState, stateOf } from './stream-state.js'

/**
 * `Name <text>`, and what an object of a subclass has of its own.
 * @param ours the prototype of our class
 */
export function inspected(
  socket: object,
  ours: object,
  text: () => string,
  depth: number | null,
  options: InspectOptionsStylized,
): string {
  const shown = options.stylize(`${nameOf(socket)} <${orNothing(text)}>`, 'special')
  const prototype = Object.getPrototypeOf(socket)
  if (prototype === ours || socket === ours || (depth !== null && depth < 0)) return shown
  const own = Object.entries(socket).filter(([key]) => !isNodes(key, ours))
  if (own.length === 0) return shown
  return `${shown} ${inspect(Object.fromEntries(own), { ...options, depth })}`
}

/** Lets a program keep something of its own under a name that is ours. */
export function setOwn(socket: object, name: string, value: unknown): void {
  Object.defineProperty(socket, name, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  })
}

export function inspectStream(
  socket: Socket,
  ours: object,
  depth: number | null,
  options: InspectOptionsStylized,
): string {
  return inspected(socket, ours, () => streamText(socket, stateOf(socket)), depth, options)
}

function streamText(socket: Socket, state: StreamState): string {
  const { established, connection, channel, connecting, dialled, outcome, accepted } = state
  if (established && connection && !channel?.destroyed && !socket.destroyed) {
    const ends = accepted ? 'from' : 'to'
    const info = connection.query()
    const what = info.secured
      ? `secured, ${protectionText(info)}, peer ${peerName(info.peer)}`
      : 'in clear'
    return `${what}, ${ends} ${remoteText(socket, state)}`
  }
  if (socket.destroyed) {
    const why = outcome as (Error & { code?: string }) | null
    const failed = why === null ? '' : `, never secured: ${why.code ?? why.name}`
    return `closed${failed}${dialled || accepted ? `, ${remoteText(socket, state)}` : ''}`
  }
  if (connecting) return `connecting to ${remoteText(socket, state)}`
  return 'not connected'
}

function remoteText({ remoteAddress, remotePort }: Socket, { dialled }: StreamState): string {
  if (remoteAddress !== undefined) return peerText(remoteAddress, remotePort as number)
  return dialled === null
    ? 'an unknown address'
    : printable(peerText(dialled.address, dialled.port))
}

export function serverText(
  server: Server,
  { settings, closed }: { settings: ParsedSettings | null; closed: boolean },
): string {
  const address = server.listening ? server.address() : null
  const where =
    address !== null && typeof address === 'object'
      ? `listening on ${peerText(address.address, address.port)}`
      : closed
        ? 'closed'
        : 'not listening'
  const { _connections: connections } = internals(server)
  return [
    where,
    ...(settings === null ? [] : [settings.protocol, clientsText(settings)]),
    ...(server.listening ? [`${connections} connection${connections === 1 ? '' : 's'}`] : []),
  ].join(', ')
}

/** Whom a server lets in: what one wants to see of it first. */
function clientsText({
  protocol,
  acceptedPsk,
  requestCert,
  rejectUnauthorized,
  allowInsecure,
}: ParsedSettings): string {
  if (protocol === 'ipsec') return 'clients as the system authenticates them'
  const known = [
    ...(requestCert ? [rejectUnauthorized ? 'certificate' : 'certificate or none'] : []),
    ...(acceptedPsk === undefined ? [] : ['pre-shared key']),
  ]
  const clients = known.length === 0 ? 'any client' : `clients by ${known.join(' or ')}`
  return allowInsecure ? `${clients}, in clear too` : clients
}

export function datagramText(state: DgramState): string {
  const { bind, closing, own, remote, connect, settings, endpoint, channel } = state
  if (closing) return 'closed'
  const protocol =
    settings === null ? [] : [settings.protocol === 'tls' ? 'dtls' : settings.protocol]
  if (bind !== 'bound') return ['not bound', ...protocol].join(', ')
  const at = own ? [`on ${peerText(own.address, own.port)}`] : []
  if (connect === 'connected' && remote) {
    const info = endpoint?.query(remote.address, remote.port)
    const secured = info ? `secured, ${securityText(info)}` : 'not secured now'
    return [secured, `to ${peerText(remote.address, remote.port)}`, ...at].join(', ')
  }
  const { peers = 0, handshaking = 0 } = endpoint?.stats ?? {}
  return [
    `bound${own ? ` to ${peerText(own.address, own.port)}` : ''}`,
    ...protocol,
    channel?.kind ?? 'portable',
    `${peers} peer${peers === 1 ? '' : 's'} secured`,
    ...(handshaking === 0 ? [] : [`${handshaking} handshaking`]),
  ].join(', ')
}

/** Whoever writes a log in the middle of an event must not fail for it. */
function orNothing(text: () => string): string {
  try {
    return text()
  } catch {
    return '…'
  }
}

function nameOf(socket: object): string {
  const made = (socket as { constructor?: { name?: unknown } }).constructor
  return String(made?.name || 'Socket')
}

/** What every socket of Node's has, or gets while it is used. */
function isNodes(key: string, ours: object): boolean {
  return key.startsWith('_') || nodesOwn.has(key) || key in ours
}

const nodesOwn = new Set([
  'allowHalfOpen',
  'autoSelectFamilyAttemptedAddresses',
  'blockList',
  'connecting',
  'highWaterMark',
  'keepAlive',
  'keepAliveInitialDelay',
  'maxConnections',
  'noDelay',
  'parser',
  'pauseOnConnect',
  'server',
  'timeout',
  'type',
  'write',
])
