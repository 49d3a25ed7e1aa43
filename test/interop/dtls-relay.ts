/** One address for clients that come one after the other, as behind a NAT. */
import dgram from 'node:dgram'
import type { Test } from 'tap'
import { event } from '../support/events.js'

export interface Relay {
  /** Where clients speak to. */
  readonly port: number
  /** Where the server hears all of them from. */
  readonly outerPort: number
}

const ALERT = 21

/**
 * Stands between the server at `serverPort` on 127.0.0.1 and the client that spoke last. It carries
 * no alerts: so every client ends without a word.
 */
export async function silencingRelay(t: Test, serverPort: number): Promise<Relay> {
  const inner = dgram.createSocket('udp4')
  const outer = dgram.createSocket('udp4')
  let client: dgram.RemoteInfo | undefined
  inner.on('message', (datagram, from) => {
    client = from
    if (datagram[0] !== ALERT) outer.send(datagram, serverPort, '127.0.0.1')
  })
  outer.on('message', datagram => {
    if (client) inner.send(datagram, client.port, client.address)
  })
  for (const socket of [inner, outer]) {
    t.teardown(() => socket.close())
    // A client that has gone answers with ICMP.
    socket.on('error', () => {})
    socket.bind(0, '127.0.0.1')
    await event(socket, 'listening')
  }
  return { port: inner.address().port, outerPort: outer.address().port }
}
