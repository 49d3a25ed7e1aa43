// Sends datagrams without losing any: only so many are on their way, and the receiver says on a
// socket of its own, plain for every subject, how many it has seen. One such word for 64 datagrams or
// more costs each of them 0.1 to 0.2 µs, the same in all.

import dgram from 'node:dgram'
import { once } from 'node:events'

const host = '127.0.0.1'
/** After such a silence, in milliseconds, what has not been seen is lost. */
const patience = 500

/** How many datagrams of a size are on their way at most: what the receiver's socket holds. */
export const windowOf = size => (size <= 512 ? 256 : 128)
/** And to several sockets. */
export const windowOfMany = (size, sockets) => windowOf(size) * Math.min(sockets, 16)
/** After how many the receiver says so. The number of all must be a multiple of it. */
const partOf = window => window / 2

export async function makeFlow() {
  const socket = dgram.createSocket('udp4')
  socket.bind(0, host)
  await once(socket, 'listening')
  let received = 0
  let part = 1
  let onSeen
  socket.on('message', message => {
    const word = String(message)
    if (word === '?') socket.send(`!${received}`)
    else onSeen(word)
  })

  return {
    port: socket.address().port,
    connect(port) {
      socket.connect(port, host)
      return once(socket, 'connect')
    },

    /** Others will come, and are to be counted from 0. */
    expect(window) {
      received = 0
      part = partOf(window)
    },

    /** To be called for every datagram that comes. */
    count() {
      received += 1
      if (received % part === 0) socket.send(String(received))
    },

    /**
     * Sends `units`, so many in one turn of the event loop, and gives how many were lost, when the
     * other end has seen all the others.
     */
    send({ units, burst, window }, sendOne) {
      let sent = 0
      let seen = 0
      let lost = 0
      let scheduled = false
      return new Promise(resolve => {
        const silence = setTimeout(() => {
          socket.send('?')
          silence.refresh()
        }, patience)

        onSeen = word => {
          silence.refresh()
          // The answer to a question: no more will come of what was sent.
          if (word[0] === '!') lost = sent - Number(word.slice(1))
          else seen = Number(word)
          if (seen + lost < units) return schedule()
          clearTimeout(silence)
          resolve(lost)
        }
        schedule()
      })

      function schedule() {
        if (scheduled || sent === units || sent - seen - lost + burst > window) return
        scheduled = true
        setImmediate(sendBurst)
      }

      function sendBurst() {
        scheduled = false
        for (let i = 0; i < burst; i++) sendOne()
        sent += burst
        schedule()
      }
    },
  }
}
