// undici: its fetch and its request, to a server of node:http.

import { once } from 'node:events'
import { createServer } from 'node:http'
import { Agent, fetch, request } from 'undici'
import { run, word } from './run.cjs'

run({
  async server() {
    const server = createServer((request, response) => response.end(`${word} at ${request.url}`))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return server.address().port
  },
  async client(port) {
    const dispatcher = new Agent()
    const fetched = await fetch(`http://127.0.0.1:${port}/${word}`, { dispatcher })
    const requested = await request(`http://127.0.0.1:${port}/request`, { dispatcher })
    const answers = [await fetched.text(), await requested.body.text()]
    await dispatcher.close()
    return answers.join(' and ')
  },
})
