// The tap on the way of datagrams: it passes each of them on, both ways, and keeps a copy.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'

/**
 * Stands before one port of loopback, for one client.
 * @returns where to send instead, what both sides said until now, and how to end it
 */
export async function tapDatagrams(target) {
  const front = createSocket('udp4')
  const back = createSocket('udp4')
  const sent = []
  const received = []
  let client
  front.on('message', (datagram, rinfo) => {
    client = rinfo
    sent.push(datagram)
    back.send(datagram)
  })
  back.on('message', datagram => {
    received.push(datagram)
    front.send(datagram, client.port, client.address)
  })
  back.on('error', () => {}) // a peer that has gone
  back.connect(target, '127.0.0.1')
  await Promise.all([once(front.bind(0, '127.0.0.1'), 'listening'), once(back, 'connect')])
  const close = () => {
    front.close()
    back.close()
  }
  return { port: front.address().port, sent, received, close }
}
