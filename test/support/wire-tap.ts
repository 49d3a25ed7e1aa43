/** A proxy that records every byte of both directions, as somebody on the wire would see them. */
import net from 'node:net'
import { event } from './events.js'

export interface WireTap {
  readonly port: number
  /** What went to the server, over all connections. */
  toServer(): Buffer
  /** What went to the client, over all connections. */
  toClient(): Buffer
  /** How many connections there were. */
  readonly connections: number
  /** Ends all connections at once. */
  cut(): void
  close(): Promise<void>
}

/** Stands between a client and the server at `serverPort` on 127.0.0.1. */
export async function wireTap(serverPort: number): Promise<WireTap> {
  const sent: Buffer[] = []
  const received: Buffer[] = []
  const sockets = new Set<net.Socket>()
  let connections = 0

  const proxy = net.createServer({ allowHalfOpen: true }, client => {
    connections += 1
    const server = net.connect({ port: serverPort, host: '127.0.0.1', allowHalfOpen: true })
    for (const [from, to, record] of [
      [client, server, sent],
      [server, client, received],
    ] as const) {
      sockets.add(from)
      from.on('data', chunk => {
        record.push(chunk)
        to.write(chunk)
      })
      from.on('end', () => to.end())
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  })
  proxy.listen(0, '127.0.0.1')
  await event(proxy, 'listening')

  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (proxy.address() as net.AddressInfo).port,
    toServer: () => Buffer.concat(sent),
    toClient: () => Buffer.concat(received),
    get connections() {
      return connections
    },
    cut,
    async close() {
      cut()
      await new Promise(resolve => proxy.close(resolve))
    },
  }
}
