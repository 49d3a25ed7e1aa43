/** Peers on UDP that know no security. */
import { EventEmitter } from 'node:events'
import type { Test } from 'tap'
import { event } from '../support/events.js'
import { bound } from '../support/udp-tap.js'
import { type ClearBehaviour, type ClearClient, type ClearPeer, HOST } from './subject.js'

/** A socket in clear. `'answers'` is a text for every datagram, a Buffer the answer itself. */
export async function clearPeer(t: Test, behaviour: ClearBehaviour): Promise<ClearPeer> {
  const socket = await bound(HOST)
  const datagrams: Buffer[] = []
  const arrivals = new EventEmitter()
  let open = true
  socket.on('message', (datagram, { port, address }) => {
    datagrams.push(datagram)
    arrivals.emit('received')
    const answer = behaviour === 'answers' ? '220 a service in clear\r\n' : behaviour
    if (behaviour === 'answers' || Buffer.isBuffer(behaviour)) socket.send(answer, port, address)
  })
  const close = async () => {
    if (!open) return
    open = false
    await new Promise<void>(resolve => socket.close(resolve))
  }
  t.teardown(close)
  const received = () => Buffer.concat(datagrams)
  return {
    port: socket.address().port,
    get contacts() {
      return datagrams.length
    },
    get received() {
      return received()
    },
    async contacted() {
      if (datagrams.length === 0) await event(arrivals, 'received')
    },
    async receives(text) {
      while (!received().includes(text)) await event(arrivals, 'received')
    },
    close,
  }
}

/** A socket in clear that speaks first. */
export async function clearClient(t: Test, port: number): Promise<ClearClient> {
  // From loopback nothing reaches another host.
  const socket = await bound(HOST === '127.0.0.1' ? HOST : '0.0.0.0')
  let heard = ''
  t.teardown(() => socket.close())
  socket.on('message', datagram => {
    heard += datagram.toString('latin1')
  })
  return {
    send: bytes => socket.send(Buffer.from(bytes, 'latin1'), port, HOST),
    get heard() {
      return heard
    },
    async hears(length) {
      while (heard.length < length) await event(socket, 'message')
      return heard
    },
    closed: async () => {},
  }
}
