// coap: a server, and a request.

import { once } from 'node:events'
import { createServer, request } from 'coap'
import { run, word } from './run.cjs'

run({
  async server() {
    const server = createServer((request, response) => response.end(`${word} at ${request.url}`))
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
    return server._sock.address().port
  },
  async client(port) {
    const asked = request({ hostname: '127.0.0.1', port, pathname: `/${word}` }).end()
    const [response] = await once(asked, 'response')
    return response.payload
  },
})
