/** Ends on loopback that the double's log is asserted of, and what a plain peer sees of them. */
import dgram from 'node:dgram'
import { EventEmitter } from 'node:events'
import net from 'node:net'
import type { Test } from 'tap'
import { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'
import { SecureServer } from '../../src/sockets/secure-server.js'
import { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event } from '../support/events.js'

export const LOOPBACK = '127.0.0.1'
export const security = { protocol: 'ipsec' } as const

/** A plain server: the double secures nothing, so it can speak with secured ends, and be asked what it saw. */
export interface PlainServer {
  readonly port: number
  readonly contacts: number
  readonly received: string
  /** Resolves when so many characters have arrived. */
  hears(length: number): Promise<string>
}

export async function plainServer(t: Test, greeting?: string): Promise<PlainServer> {
  const open = new Set<net.Socket>()
  const arrivals = new EventEmitter()
  let contacts = 0
  let received = ''
  const server = net.createServer(socket => {
    contacts += 1
    open.add(socket)
    socket.on('error', () => {})
    socket.on('data', data => {
      received += data.toString('latin1')
      arrivals.emit('data')
    })
    if (greeting !== undefined) socket.write(greeting)
  })
  server.listen(0, LOOPBACK)
  await event(server, 'listening')
  t.teardown(async () => {
    for (const socket of open) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  return {
    port: (server.address() as net.AddressInfo).port,
    get contacts() {
      return contacts
    },
    get received() {
      return received
    },
    async hears(length) {
      while (received.length < length) await event(arrivals, 'data')
      return received
    },
  }
}

/** A plain datagram socket, and what it was sent. */
export async function plainPeer(
  t: Test,
  port = 0,
): Promise<PlainServer & { answer(text: string): void }> {
  const socket = dgram.createSocket('udp4')
  socket.bind(port, LOOPBACK)
  await event(socket, 'listening')
  const arrivals = new EventEmitter()
  let contacts = 0
  let received = ''
  let sender = { port: 0, address: '' }
  socket.on('message', (message, from) => {
    contacts += 1
    received += message.toString('latin1')
    sender = from
    arrivals.emit('data')
  })
  t.teardown(() => new Promise<void>(resolve => void socket.close(() => resolve())))
  return {
    port: socket.address().port,
    get contacts() {
      return contacts
    },
    get received() {
      return received
    },
    async hears(length) {
      while (received.length < length) await event(arrivals, 'data')
      return received
    },
    answer: text => socket.send(text, sender.port, sender.address),
  }
}

/** A secured client, destroyed with the test. */
export function client(
  t: Test,
  port: number,
  options: object = {},
  settings: object = security,
): SecureSocket & { failed: Promise<Error> } {
  const socket = new SecureSocket({ security: settings })
  t.teardown(() => socket.destroy())
  const failed = new Promise<Error>(resolve => socket.on('error', resolve))
  socket.connect({ port, host: LOOPBACK, ...options })
  return Object.assign(socket, { failed })
}

/** A secured server on loopback that keeps what it has accepted. */
export async function server(t: Test, settings: object = security) {
  const accepted: SecureSocket[] = []
  const refused: Error[] = []
  const arrivals = new EventEmitter()
  const server = new SecureServer({ security: settings }, socket => {
    socket.on('error', () => {})
    socket.resume()
    accepted.push(socket)
    arrivals.emit('accepted')
  })
  server.on('tlsClientError', error => refused.push(error))
  server.listen(0, LOOPBACK)
  await event(server, 'listening')
  t.teardown(async () => {
    for (const socket of accepted) socket.destroy()
    if (server.listening) await new Promise(resolve => server.close(resolve))
  })
  return {
    server,
    port: (server.address() as net.AddressInfo).port,
    accepted,
    refused,
    async accepts(count: number) {
      while (accepted.length < count) await event(arrivals, 'accepted')
      return accepted
    },
  }
}

/** A secured datagram socket, closed with the test. */
export function datagramSocket(t: Test, settings: object = security): SecureDgramSocket {
  const socket = new SecureDgramSocket({ type: 'udp4', security: settings })
  socket.on('error', () => {})
  t.teardown(() => socket[Symbol.asyncDispose]())
  return socket
}
