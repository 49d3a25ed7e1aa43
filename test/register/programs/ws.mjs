// ws: a server, and a client.

import { once } from 'node:events'
import { WebSocket, WebSocketServer } from 'ws'
import { run, word } from './run.cjs'

run({
  async server() {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    server.on('connection', client => client.on('message', data => client.send(`${word}, ${data}`)))
    await once(server, 'listening')
    return server.address().port
  },
  async client(port) {
    const client = new WebSocket(`ws://127.0.0.1:${port}/${word}`)
    await once(client, 'open')
    client.send('masked')
    const [data] = await once(client, 'message')
    client.close()
    return data
  },
})
