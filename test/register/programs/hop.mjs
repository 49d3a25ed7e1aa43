// A hop by node:net, to a server at a unix socket.

import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { run } from './run.cjs'

run({
  async server(path) {
    const server = createServer(socket => {
      const behind = connect(path)
      pipeline(socket, behind, socket).catch(() => {})
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return server.address().port
  },
})
