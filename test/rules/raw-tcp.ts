/** Peers on TCP that know no security. */
import { EventEmitter } from 'node:events'
import net from 'node:net'
import type { Test } from 'tap'
import { event } from '../support/events.js'
import { type ClearBehaviour, type ClearClient, type ClearPeer, HOST } from './subject.js'

/** A server in clear. A Buffer is what it answers; `'answers'` is a greeting before the client says anything. */
export async function clearPeer(t: Test, behaviour: ClearBehaviour): Promise<ClearPeer> {
  const open = new Set<net.Socket>()
  const chunks: Buffer[] = []
  let contacts = 0
  const server = net.createServer(socket => {
    contacts += 1
    open.add(socket)
    socket.on('error', () => {})
    socket.on('data', chunk => {
      chunks.push(chunk)
      server.emit('received')
      if (Buffer.isBuffer(behaviour)) socket.write(behaviour)
    })
    if (behaviour === 'answers') socket.write('220 a service in clear\r\n')
    if (behaviour === 'closes') socket.end()
  })
  server.listen(0, HOST)
  await event(server, 'listening')
  const close = async () => {
    for (const socket of open) socket.destroy()
    if (server.listening) await new Promise(resolve => server.close(resolve))
  }
  t.teardown(close)
  const received = () => Buffer.concat(chunks)
  return {
    port: (server.address() as net.AddressInfo).port,
    get contacts() {
      return contacts
    },
    get received() {
      return received()
    },
    async contacted() {
      if (chunks.length === 0) await event(server, 'received')
    },
    async receives(text) {
      while (!received().includes(text)) await event(server, 'received')
    },
    close,
  }
}

/** A client in clear. */
export async function clearClient(t: Test, port: number): Promise<ClearClient> {
  const socket = net.connect(port, HOST)
  let heard = ''
  const ends = new EventEmitter()
  socket.on('error', () => {})
  socket.on('close', () => ends.emit('close'))
  socket.on('data', chunk => {
    heard += chunk.toString('latin1')
  })
  t.teardown(() => socket.destroy())
  await event(socket, 'connect')
  return {
    send: bytes => void socket.write(bytes, 'latin1'),
    get heard() {
      return heard
    },
    async hears(length) {
      while (heard.length < length) await event(socket, 'data')
      return heard
    },
    async closed() {
      if (!socket.closed) await event(ends, 'close')
    },
  }
}
