// The client, a process of its own. It does what it is told to with the face that it is told to use:
// `node:net` or `secure-socket/net`. The code is the same for both.

import { once } from 'node:events'
import { describe } from './describe.mjs'

process.on('message', async ({ face, options, request }) => {
  const { createConnection } = await import(face)
  const outcome = { answer: '' }
  try {
    const socket = createConnection(options)
    // Written at once, before it is connected: what is not to leave in clear has to wait by itself.
    socket.write(request)
    await once(socket, 'connect')
    outcome.knows = await describe(socket)
    for await (const text of socket.setEncoding('utf8')) outcome.answer += text
  } catch ({ code, message }) {
    outcome.error = { code, message }
  }
  process.send(outcome)
})

process.on('disconnect', () => process.exit())
