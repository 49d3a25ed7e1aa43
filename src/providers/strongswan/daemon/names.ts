/**
 * What our connections and children are called in the daemon. Every process of the host must find
 * out from the names alone what they are for and whether their owner still lives: the daemon keeps
 * nothing else that would say it, and tells little of what it keeps.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import type { Transport } from '../plans/plans.js'

const PREFIX = 'secure-socket'
/** A name is counted by one byte. */
const MAX_NAME = 255
/** Instead of an address: every one, or every one of a family. */
export const ANY = 'any'
export const ANY_IPV4 = 'any4'
export const ANY_IPV6 = 'any6'

/** What a child lets through, and how long its keys live. */
export interface ChildDescription {
  /** `idle`: lets nothing through, and keeps a connection for the next flow. */
  readonly kind: 'flow' | 'listener' | 'idle'
  readonly transport: Transport
  readonly localAddress: string
  readonly localPort: number
  /** ANY of listeners. */
  readonly remoteAddress: string
  /** 0: every port. */
  readonly remotePort: number
  /** Seconds, bytes and seconds; 0: never. */
  readonly rekeySeconds: number
  readonly rekeyBytes: number
  readonly inactivitySeconds: number
}

/** What a connection is made of, as far as its name says it. */
export interface ConnectionDescription {
  /** Which credentials it needs: see credentials.ts. */
  readonly credential: string
  /** The same for connections that differ in nothing but addresses and identities. */
  readonly likeness: string
  /** ANY, ANY_IPV4, ANY_IPV6 of listeners on every address. */
  readonly localAddress: string
  /** ANY of listeners. */
  readonly remoteAddress: string
  readonly localId: string
  readonly remoteId: string
}

/** Who made a child: a thread of a process of this host, or of a container on it. */
export interface Owner {
  /** The inode of its namespace of process numbers. */
  readonly namespace: string
  /** Of the thread: it can end before its process does. */
  readonly pid: number
  /** In ticks since the host was started: numbers are given again. */
  readonly startTime: string
}

let own: Owner | undefined
let prefix: string | undefined
let counter = 0

/** This thread. */
export function ownOwner(): Owner {
  own ??= makeOwner()
  return own
}

function makeOwner(): Owner {
  const pid = ownThread()
  return { namespace: ownNamespace(), pid, startTime: startTimeOf(String(pid)) ?? '0' }
}

function ownThread(): number {
  try {
    return Number(/\d+$/.exec(readlinkSync('/proc/thread-self'))?.[0] ?? process.pid)
  } catch {
    return process.pid
  }
}

function ownNamespace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] as string
  } catch {
    // One of its own: nobody can then tell that we are dead, and we cannot of anybody.
    return `r${randomBytes(6).toString('hex')}`
  }
}

/** A name that no other thread, process or copy of this library has: `namespace-pid-start-random-n`. */
export function newOwnerName(): string {
  const { namespace, pid, startTime } = ownOwner()
  // Copies of this library share all of that.
  prefix ??= `${namespace}-${pid}-${startTime}-${randomBytes(4).toString('hex')}`
  return `${prefix}-${++counter}`
}

/** Made by this copy of the library. */
export function isOurs(name: string): boolean {
  return prefix !== undefined && name.startsWith(`${prefix}-`)
}

/** Whether the thread that made it has certainly ended. */
export function isStale(name: string): boolean {
  const [namespace, pid, startTime] = name.split('-')
  // Numbers of another namespace say nothing here.
  if (namespace !== ownOwner().namespace || pid === undefined || !/^\d+$/.test(pid)) return false
  const started = startTimeOf(pid)
  // What belongs to others may be hidden (proc(5), hidepid).
  return started === undefined ? !exists(Number(pid)) : started !== startTime
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** Field 22 of proc(5)'s stat; the name in field 2 may hold anything. */
function startTimeOf(pid: string): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

/** `owner_flow_udp_10.9.0.1_6000_10.9.0.2_5000_3600_59055800320_0` */
export function childName(owner: string, child: ChildDescription): string {
  const { kind, transport, localAddress, localPort, remoteAddress, remotePort } = child
  const { rekeySeconds, rekeyBytes, inactivitySeconds } = child
  return [
    owner,
    kind,
    transport,
    ...[localAddress, localPort, remoteAddress, remotePort],
    ...[rekeySeconds, rekeyBytes, inactivitySeconds],
  ].join('_')
}

/** Undefined for what we have not named. */
export function parseChildName(name: string): ChildDescription | undefined {
  const parts = name.split('_')
  const [, kind, transport, localAddress, localPort, remoteAddress, remotePort] = parts
  const numbers = [localPort, remotePort, ...parts.slice(7)].map(Number)
  if (parts.length !== 10 || !numbers.every(Number.isSafeInteger)) return undefined
  if (kind !== 'flow' && kind !== 'listener' && kind !== 'idle') return undefined
  if (transport !== 'tcp' && transport !== 'udp') return undefined
  const [local = 0, remote = 0, rekeySeconds = 0, rekeyBytes = 0, inactivitySeconds = 0] = numbers
  return {
    kind,
    transport,
    localAddress: localAddress as string,
    localPort: local,
    remoteAddress: remoteAddress as string,
    remotePort: remote,
    rekeySeconds,
    rekeyBytes,
    inactivitySeconds,
  }
}

/** Everything that tells connections apart, readable in the daemon's log. */
export function connectionName(connection: ConnectionDescription): string {
  const { credential, likeness, localAddress, remoteAddress, localId, remoteId } = connection
  const ids = [localId, remoteId].map(escaped)
  const name = [PREFIX, 'c', credential, likeness, localAddress, remoteAddress, ...ids].join('_')
  if (name.length <= MAX_NAME) return name
  // Nobody else can make it again then; whoever made it knows what it stands for.
  const digest = createHash('sha256').update(ids.join('_')).digest('hex')
  return [PREFIX, 'h', credential, likeness, localAddress, remoteAddress, digest].join('_')
}

/** Undefined for what is not ours, and for names that do not say everything. */
export function parseConnectionName(name: string): ConnectionDescription | undefined {
  const parts = name.split('_')
  const [prefix, kind, credential, likeness, localAddress, remoteAddress, localId, remoteId] = parts
  if (prefix !== PREFIX || kind !== 'c' || parts.length !== 8) return undefined
  return {
    credential: credential as string,
    likeness: likeness as string,
    localAddress: localAddress as string,
    remoteAddress: remoteAddress as string,
    localId: unescaped(localId as string),
    remoteId: unescaped(remoteId as string),
  }
}

/** A connection of ours that carries traffic, whatever its name says. */
export function isConnection(name: string): boolean {
  return name.startsWith(`${PREFIX}_c_`) || name.startsWith(`${PREFIX}_h_`)
}

/** What the credentials of a connection of ours are called. */
export function credentialOf(name: string): string | undefined {
  return isConnection(name) ? name.split('_')[2] : undefined
}

/** The connection, and the child, of a guard. */
export function guardName(
  owner: string,
  transport: Transport,
  localAddress: string,
  localPort: number,
): string {
  return [PREFIX, 'g', owner, transport, localAddress, localPort].join('_')
}

export interface GuardDescription {
  readonly owner: string
  readonly transport: Transport
  /** ANY: every one. */
  readonly localAddress: string
  readonly localPort: number
}

export function parseGuardName(name: string): GuardDescription | undefined {
  const parts = name.split('_')
  const [prefix, kind, owner, transport, localAddress, port] = parts
  if (prefix !== PREFIX || kind !== 'g' || parts.length !== 6) return undefined
  if (transport !== 'tcp' && transport !== 'udp') return undefined
  return {
    owner: owner as string,
    transport,
    localAddress: localAddress as string,
    localPort: Number(port),
  }
}

/** The owner's part of the name of a child. */
export function ownerOf(child: string): string {
  return child.split('_', 1)[0] as string
}

/** Without "_", and in characters that strongSwan prints as they are. */
function escaped(text: string): string {
  return Buffer.from(text, 'utf8')
    .toString('latin1')
    .replace(/[^\w.:@*=-]|_/g, each => `~${each.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

function unescaped(text: string): string {
  const bytes = text.replace(/~([0-9a-f]{2})/g, (_, hex) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return Buffer.from(bytes, 'latin1').toString('utf8')
}
