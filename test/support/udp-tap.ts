/** A relay that records every datagram of both directions, as somebody on the wire would see them. */
import dgram, { type Socket } from 'node:dgram'
import { event } from './events.js'

export interface UdpTap {
  readonly port: number
  /** What went to the server, from all clients. */
  readonly toServer: readonly Buffer[]
  /** What went to the clients. */
  readonly toClient: readonly Buffer[]
  /** From now on nothing is passed on. */
  cut(): void
  close(): Promise<void>
}

/** Stands between clients and the server at `serverPort` on 127.0.0.1; each client gets a port of its own there. */
export async function udpTap(serverPort: number): Promise<UdpTap> {
  const toServer: Buffer[] = []
  const toClient: Buffer[] = []
  const outward = new Map<number, Promise<Socket>>()
  let passes = true

  const front = await bound()
  front.on('message', async (datagram, client) => {
    toServer.push(datagram)
    if (!passes) return
    const back = outward.get(client.port) ?? connected(client.port)
    outward.set(client.port, back)
    const socket = await back
    if (passes) socket.send(datagram, serverPort, '127.0.0.1')
  })

  async function connected(clientPort: number): Promise<Socket> {
    const back = await bound()
    back.on('message', datagram => {
      toClient.push(datagram)
      if (passes) front.send(datagram, clientPort, '127.0.0.1')
    })
    return back
  }

  return {
    port: front.address().port,
    toServer,
    toClient,
    cut() {
      passes = false
    },
    async close() {
      passes = false
      const sockets = [front, ...(await Promise.all(outward.values()))]
      await Promise.all(sockets.map(each => new Promise<void>(resolve => each.close(resolve))))
    },
  }
}

/** A plain socket on loopback. */
export async function bound(address = '127.0.0.1'): Promise<Socket> {
  const socket = dgram.createSocket('udp4')
  // A client that is gone makes the system answer with ICMP errors.
  socket.on('error', () => {})
  socket.bind(0, address)
  await event(socket, 'listening')
  return socket
}
