/**
 * A program on another host that does as it is told, a line of JSON for each order and each answer:
 * `peer.ts` is the other end. Its sockets are secured, or, with the proof 'none', node:dgram's and
 * node:net's own. It ends with its input.
 */
import plainDgram from 'node:dgram'
import { once } from 'node:events'
import plainNet from 'node:net'
import { createInterface } from 'node:readline'
import { createSocket } from '../../../src/dgram.js'
import net from '../../../src/net.js'
import { type HostName, type Proof, securityOf } from './hosts.js'

export interface DatagramsOrder {
  readonly do: 'datagrams'
  readonly proof: Proof
  readonly address: string
  readonly port: number
  /** Whom it takes for what, before they have said anything. */
  readonly names?: readonly { address: string; port: number; targetName: string }[]
}

export interface ListenOrder {
  readonly do: 'listen'
  readonly proof: Proof
  readonly address: string
  readonly port: number
}

export interface SendOrder {
  readonly do: 'send'
  readonly fromPort: number
  readonly text: string
  readonly address: string
  readonly port: number
}

export interface ConnectOrder {
  readonly do: 'connect'
  readonly proof: Proof
  readonly address: string
  readonly port: number
  readonly targetName?: string
  readonly text: string
}

/** Closes the socket of datagrams, or the server, of that port. */
export interface CloseOrder {
  readonly do: 'close'
  readonly port: number
}

/** What the socket of that port has received. */
export interface ReceivedOrder {
  readonly do: 'received'
  readonly port: number
}

export type Order =
  | DatagramsOrder
  | ListenOrder
  | SendOrder
  | ConnectOrder
  | CloseOrder
  | ReceivedOrder

const host = process.env.HOST as HostName
const sockets = new Map<number, plainDgram.Socket>()
const servers = new Map<number, plainNet.Server>()
const received = new Map<number, string[]>()

for await (const line of createInterface(process.stdin)) {
  const { id, ...order } = JSON.parse(line)
  obey(order).then(
    answer => say({ id, answer: answer ?? null }),
    error => say({ id, error: { code: error.code, message: error.message } }),
  )
}
for (const socket of sockets.values()) socket.close()
for (const server of servers.values()) server.close()
process.exitCode = 0

async function obey(order: Order): Promise<unknown> {
  switch (order.do) {
    case 'datagrams':
      return datagrams(order)
    case 'listen':
      return listen(order)
    case 'connect':
      return connect(order)
    case 'send':
      return send(order)
    case 'received':
      return received.get(order.port) ?? []
    case 'close':
      return close(order)
  }
}

/** A socket that answers every datagram with the same one. */
async function datagrams({ proof, address, port, names = [] }: DatagramsOrder): Promise<void> {
  const security = securityOf(host, proof)
  const type = address.includes(':') ? 'udp6' : 'udp4'
  const secured = security && createSocket({ type, security })
  const socket = secured ?? plainDgram.createSocket(type)
  socket.on('error', error => complain(port, error))
  const texts: string[] = []
  received.set(port, texts)
  socket.on('message', (message, { address, port: from }) => {
    texts.push(String(message))
    socket.send(message, from, address, error => error && complain(port, error))
  })
  for (const name of names) secured?.setPeerTargetName(name)
  socket.bind(port, address)
  await once(socket, 'listening')
  sockets.set(port, socket)
}

function send({ fromPort, text, port, address }: SendOrder): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null) => (error ? reject(error) : resolve())
    sockets.get(fromPort)?.send(text, port, address, done)
  })
}

/** A server that gives back what it gets. */
async function listen({ proof, address, port }: ListenOrder): Promise<void> {
  const security = securityOf(host, proof)
  const texts: string[] = []
  received.set(port, texts)
  const server = security ? net.createServer({ security }) : plainNet.createServer()
  server.on('connection', socket => {
    socket.on('error', error => complain(port, error))
    socket.on('data', data => {
      texts.push(String(data))
      socket.write(data)
    })
  })
  server.on('error', error => complain(port, error))
  server.listen(port, address)
  await once(server, 'listening')
  servers.set(port, server)
}

/** Sends a text, and gives what comes back. */
async function connect({ proof, address, port, targetName, text }: ConnectOrder): Promise<string> {
  const security = securityOf(host, proof)
  const to = { host: address, port }
  const socket = security
    ? net.connect({ ...to, security, ...(targetName && { peerTargetName: targetName }) })
    : plainNet.connect(to)
  await once(socket, 'connect')
  socket.end(text)
  let answer = ''
  for await (const data of socket) answer += data
  return answer
}

async function close({ port }: CloseOrder): Promise<void> {
  const socket = sockets.get(port) ?? servers.get(port)
  sockets.delete(port)
  servers.delete(port)
  await new Promise<void>(resolve => socket?.close(() => resolve()))
}

function complain(port: number, { message }: Error): void {
  say({ complaint: `port ${port}: ${message}` })
}

function say(what: object): void {
  process.stdout.write(`${JSON.stringify(what)}\n`)
}
