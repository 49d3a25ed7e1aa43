/** Our datagram sockets on loopback, and what a test waits for at them. */
import type { Test } from 'tap'
import { createSocket, type Socket } from '../../src/dgram.js'
import type { PeerIdentity } from '../../src/model/peer-identity.js'
import type { SecurityInfo } from '../../src/model/security-info.js'
import type { DatagramSecuritySettings } from '../../src/model/settings.js'
import { openssl } from '../../src/providers/dtls/openssl.js'
import { event } from '../support/events.js'
import { testIdentity } from '../support/identities.js'

export const LOOPBACK = '127.0.0.1'

export interface Peer {
  readonly address: string
  readonly port: number
}

export interface Heard {
  readonly text: string
  readonly size: number
  readonly from: Peer & { readonly peer?: PeerIdentity; readonly targetName?: string }
}

/** The settings of one end: its certificate for these names (those of loopback by default), and its trust. */
export async function identified(
  names?: readonly string[],
): Promise<{ cert: string; key: string; ca: string }> {
  const { cert, key, ca } = await testIdentity(names)
  return { cert, key, ca }
}

/** A socket that speaks first: it gets its port with the first message. Gone after the test. */
export function speaking(t: Test, security: DatagramSecuritySettings): Socket {
  const socket = createSocket({ type: 'udp4', security })
  t.teardown(() => closed(socket))
  return socket
}

/** Does the OpenSSL of this Node have SRTP? That of Node for Windows exports none of it. */
export function hasSrtp(): boolean {
  return openssl().lib.srtp !== null
}

export interface Listening {
  readonly socket: Socket
  readonly port: number
  /** What its peers have said, in order. */
  readonly heard: Inbox
  /** Who was secured, in order. */
  readonly secured: { peer: Peer; info: SecurityInfo }[]
}

/** A socket bound to loopback, which sends back what it hears. Gone after the test. */
export async function listening(
  t: Test,
  security: DatagramSecuritySettings,
  options: { address?: string; echo?: boolean } = {},
): Promise<Listening> {
  const { address = LOOPBACK, echo = true } = options
  const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', security })
  t.teardown(() => closed(socket))
  // What strangers do wrong is no error of the socket.
  socket.on('error', error => t.fail(`'error' at a server: ${error.message}`))
  const secured: Listening['secured'] = []
  socket.on('secure', (peer, info) => secured.push({ peer, info }))
  const heard = inbox(socket)
  if (echo) socket.on('message', (message, from) => socket.send(message, from.port, from.address))
  socket.bind(0, address)
  await event(socket, 'listening')
  return { socket, port: socket.address().port, heard, secured }
}

export interface Inbox {
  /** All messages until now. */
  readonly all: readonly Heard[]
  /** The next message that nobody has taken yet, also one that has come before the question. */
  next(milliseconds?: number): Promise<Heard>
}

/** Keeps every message, so that none which comes early is missed. */
export function inbox(socket: Socket): Inbox {
  const all: Heard[] = []
  let taken = 0
  let wake = () => {}
  socket.on('message', (message, from) => {
    all.push({ text: String(message), size: message.length, from })
    wake()
  })
  return {
    all,
    next(milliseconds = 10_000) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          wake = () => {}
          reject(new Error(`no message within ${milliseconds} ms`))
        }, milliseconds)
        wake = () => {
          const heard = all[taken]
          if (heard === undefined) return
          taken += 1
          wake = () => {}
          clearTimeout(timer)
          resolve(heard)
        }
        wake()
      })
    },
  }
}

/** Resolves when the message has left, and fails as the callback of send() does. */
export function sent(socket: Socket, message: string | Buffer, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(message, port, LOOPBACK, error => (error ? reject(error) : resolve()))
  })
}

/** The peer at a port of loopback. */
export function at(port: number): Peer {
  return { address: LOOPBACK, port }
}

/** Closes the socket, where the test has not. */
export function closed(socket: Socket): Promise<void> {
  return new Promise(resolve => {
    try {
      socket.close(() => resolve())
    } catch {
      resolve()
    }
  })
}
