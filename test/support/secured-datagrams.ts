/** Secured datagram sockets on loopback, and what tests wait for at them. */
import { EventEmitter } from 'node:events'
import type { Test } from 'tap'
import type { DatagramSecuritySettings } from '../../src/model/settings.js'
import {
  SecureDgramSocket,
  type SecureDgramSocketOptions,
  type SecureRemoteInfo,
} from '../../src/sockets/secure-dgram-socket.js'
import { event } from './events.js'
import { testIdentity } from './identities.js'

export const LOOPBACK = '127.0.0.1'

export interface Heard {
  readonly text: string
  readonly rinfo: SecureRemoteInfo
}

/** Certificate, key and trust of an end with these names; those of loopback by default. */
export async function identified(
  names?: readonly string[],
): Promise<{ cert: string; key: string; ca: string }> {
  const { cert, key, ca } = await testIdentity(names)
  return { cert, key, ca }
}

/** A socket, closed at the end of the test. */
export function datagramSocket(
  t: Test,
  options: Partial<SecureDgramSocketOptions> = {},
): SecureDgramSocket {
  const socket = new SecureDgramSocket({ type: 'udp4', ...options })
  t.teardown(() => closeNow(socket))
  return socket
}

/** A socket that is bound to loopback. */
export async function boundSocket(
  t: Test,
  security?: DatagramSecuritySettings,
  address = LOOPBACK,
): Promise<{ socket: SecureDgramSocket; port: number; heard: Inbox }> {
  const type = address.includes(':') ? 'udp6' : 'udp4'
  const socket = datagramSocket(t, { type, security: security ?? (await identified()) })
  const heard = inbox(socket)
  socket.bind(0, address)
  await event(socket, 'listening')
  return { socket, port: socket.address().port, heard }
}

/** Says again what it hears, to whoever said it; who is gone meanwhile does not matter. */
export function echo(socket: SecureDgramSocket): void {
  socket.on('message', (message, { port, address }) => {
    socket.send(message, port, address, () => {})
  })
}

export interface Inbox {
  readonly all: readonly Heard[]
  /** The first so many messages. */
  have(count: number): Promise<readonly Heard[]>
  /** The next one that was not asked for before. */
  next(): Promise<Heard>
}

/** Keeps every message, so that none which comes early is missed. */
export function inbox(socket: SecureDgramSocket): Inbox {
  const all: Heard[] = []
  const arrivals = new EventEmitter()
  let taken = 0
  socket.on('message', (message, rinfo) => {
    all.push({ text: message.toString(), rinfo })
    arrivals.emit('message')
  })
  const have = async (count: number) => {
    while (all.length < count) await event(arrivals, 'message')
    return all.slice(0, count)
  }
  return {
    all,
    have,
    async next() {
      taken += 1
      return (await have(taken))[taken - 1] as Heard
    },
  }
}

/** The bytes that the callback of send() tells, or its error. */
export function sent(
  socket: SecureDgramSocket,
  message: string | Buffer,
  port: number,
  address = LOOPBACK,
): Promise<number> {
  return new Promise((resolve, reject) => {
    socket.send(message, port, address, (error, bytes) => (error ? reject(error) : resolve(bytes)))
  })
}

/** Closes it, where the test has not, and does not wait for what nobody will answer. */
function closeNow(socket: SecureDgramSocket): Promise<void> {
  for (const { address, port } of socket.peers()) socket.closePeer({ address, port })
  return socket[Symbol.asyncDispose]()
}
