// The server, a process of its own: one server of node:net and one of secure-socket/net, with the same
// options and the same listener.

import { once } from 'node:events'
import * as plain from 'node:net'
import * as secured from 'secure-socket/net'
import { describe } from './describe.mjs'

process.once('message', async ({ answer, security }) => {
  const ports = {}
  for (const [name, { createServer }] of Object.entries({ plain, secured })) {
    const server = createServer({ security }, socket => serve(socket, answer))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    ports[name] = server.address().port
  }
  process.send({ ports })
})

function serve(socket, answer) {
  let request = ''
  socket.on('error', () => {}) // a client that hangs up is its own affair
  socket.setEncoding('utf8').on('data', async text => {
    request += text
    if (!request.endsWith('\n')) return
    process.send({ request, knows: await describe(socket) })
    socket.end(answer)
  })
}

process.on('disconnect', () => process.exit())
