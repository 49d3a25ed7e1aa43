// node:http: a server, and requests by an Agent that keeps connections.

const { once } = require('node:events')
const http = require('node:http')
const { run, word } = require('./run.cjs')

run({
  async server() {
    const server = http.createServer((request, response) =>
      response.end(`${word} at ${request.url}`),
    )
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return server.address().port
  },
  async client(port) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    const first = await get(agent, `http://127.0.0.1:${port}/${word}`)
    const second = await get(agent, `http://127.0.0.1:${port}/again`)
    agent.destroy()
    return `${first}, then ${second}`
  },
})

async function get(agent, url) {
  const request = http.get(url, { agent })
  const [response] = await once(request, 'response')
  let body = ''
  for await (const text of response.setEncoding('utf8')) body += text
  return `${body}${request.reusedSocket ? ' by the same connection' : ''}`
}
