// Sends datagrams without losing any: a window of them is on its way, and the receiver says on a
// socket of its own, plain for every subject, that it has seen another part of it. One such word for
// 64 datagrams costs each of them 0.2 µs or so, the same in all.

import dgram from 'node:dgram'
import { once } from 'node:events'

const host = '127.0.0.1'
const window = 128
/** Datagrams that are acknowledged together; the number of all must be a multiple of it. */
export const part = 64
/** Datagrams that are sent in one turn of the event loop: as many as libuv reads in one. */
const burst = 32

const seen = Buffer.from('.')

export async function makeFlow() {
  const socket = dgram.createSocket('udp4')
  socket.bind(0, host)
  await once(socket, 'listening')
  let received = 0
  let onAcknowledged
  let onReceived
  let missing = 0
  socket.on('message', () => onAcknowledged())

  return {
    port: socket.address().port,
    connect(port) {
      socket.connect(port, host)
      return once(socket, 'connect')
    },

    /** To be called for every datagram that comes. */
    count() {
      received += 1
      if (received % part === 0) socket.send(seen)
      missing -= 1
      if (missing === 0) onReceived()
    },

    /** Resolves when so many more have come. */
    receive(units) {
      missing = units
      return new Promise(resolve => {
        onReceived = resolve
      })
    },

    /** Sends so many and resolves when the other end has seen them all. */
    send(units, sendOne) {
      let left = units
      let unseen = 0
      let scheduled = false
      return new Promise(resolve => {
        onAcknowledged = () => {
          unseen -= part
          if (left === 0 && unseen === 0) resolve()
          else schedule()
        }
        schedule()
      })

      function schedule() {
        if (scheduled || left === 0 || unseen + burst > window) return
        scheduled = true
        setImmediate(sendBurst)
      }

      function sendBurst() {
        scheduled = false
        for (let i = 0; i < burst; i++) sendOne()
        left -= burst
        unseen += burst
        schedule()
      }
    },
  }
}
