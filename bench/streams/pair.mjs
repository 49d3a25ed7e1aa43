import { once } from 'node:events'

/** Starts a subject's server and gives a function that opens a connection and both its ends. */
export async function pairs(subject) {
  const accepted = []
  const waiting = []
  const server = subject.serve(socket => {
    socket.on('error', fail)
    const taker = waiting.shift()
    if (taker) taker(socket)
    else accepted.push(socket)
  })
  server.on('error', fail)
  server.on('tlsClientError', fail)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()

  return async function open() {
    const client = subject.dial(port)
    client.on('error', fail)
    const [atServer] = await Promise.all([take(), once(client, subject.connected)])
    return { client, atServer }
  }

  function take() {
    return new Promise(resolve => {
      if (accepted.length > 0) resolve(accepted.shift())
      else waiting.push(resolve)
    })
  }
}

/** A bench in which something fails measures nothing. */
function fail(error) {
  console.error(error)
  process.exit(1)
}
