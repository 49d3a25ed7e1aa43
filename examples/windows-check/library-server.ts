/** Servers of this library, as a program would make them; what they see is told in lines. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createSocket } from '../../src/dgram.js'
import type { SecurityInfo } from '../../src/index.js'
import { createServer } from '../../src/net.js'

export interface LibraryServer {
  readonly port: number
  /** What it has seen. */
  readonly lines: readonly string[]
  close(): Promise<void>
}

const security = { protocol: 'ipsec' } as const

/** Longer than the library's own. */
const PATIENCE_MS = 70_000

export async function serveStreams(port: number): Promise<LibraryServer> {
  const lines: string[] = []
  const server = createServer({ security }, socket => {
    socket.on('error', error => lines.push(`lost: ${told(error)}`))
    socket
      .querySecurity()
      .then(info => lines.push(describe(info)))
      .catch(error => lines.push(`query: ${told(error)}`))
    socket.on('data', data => socket.end(data))
  })
  server.on('tlsClientError', error => lines.push(`refused: ${told(error)}`))
  server.listen(port, '0.0.0.0')
  await once(server, 'listening', { signal: AbortSignal.timeout(PATIENCE_MS) })
  return {
    port: (server.address() as AddressInfo).port,
    lines,
    close: async () => void server.close(),
  }
}

export async function serveDatagrams(port: number): Promise<LibraryServer> {
  const lines: string[] = []
  const socket = createSocket({ type: 'udp4', security })
  socket.on('peerError', error => lines.push(`peerError: ${told(error)}`))
  socket.on('secure', (_peer, info) => lines.push(describe(info)))
  socket.on('message', (message, { port, address }) => {
    lines.push(`message of ${message.length} bytes`)
    socket.send(message, port, address)
  })
  socket.bind(port, '0.0.0.0')
  await once(socket, 'listening', { signal: AbortSignal.timeout(PATIENCE_MS) })
  return { port: socket.address().port, lines, close: async () => void socket.close() }
}

/** Who the peer is only in so far as there is an account of a user, or of a machine. */
export function describe({ secured, encrypted, peer, ipsec }: SecurityInfo): string {
  const accounts = [peer?.user && 'a user', peer?.machine && 'a machine'].filter(Boolean)
  const numbers = [ipsec?.mainModeSaId && 'main mode', ipsec?.quickModeSaId && 'quick mode']
  return [
    encrypted ? 'encrypted' : secured ? 'secured, not encrypted' : 'in clear',
    `the peer is ${accounts.join(' and ') || 'nobody'}`,
    `security associations: ${numbers.filter(Boolean).join(', ') || 'not told'}`,
  ].join('; ')
}

export function told(error: Error & { code?: string; errno?: number; syscall?: string }): string {
  const { code, syscall, errno, message } = error
  return [code, syscall, errno, message].filter(each => each !== undefined).join(', ')
}
