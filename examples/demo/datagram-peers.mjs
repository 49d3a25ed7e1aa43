// The peers of the second act, in a process of their own: for each face a socket for each of them, with
// the same options and the same listener. They tell what they have heard when they are asked.

import * as plain from 'node:dgram'
import { once } from 'node:events'
import * as secured from 'secure-socket/dgram'

const heard = { plain: [], secured: [] }

process.once('message', async peers => {
  const ports = { plain: [], secured: [] }
  for (const [face, { createSocket }] of Object.entries({ plain, secured })) {
    for (const { label, security, answer } of peers) {
      const socket = createSocket({ type: 'udp4', security })
      socket.on('message', (message, { port, address, peer }) => {
        heard[face].push({ label, question: String(message), names: peer?.names })
        socket.send(answer, port, address)
      })
      await once(socket.bind(0, '127.0.0.1'), 'listening')
      ports[face].push(socket.address().port)
    }
  }
  process.on('message', () => process.send(heard))
  process.send({ ports })
})

process.on('disconnect', () => process.exit())
