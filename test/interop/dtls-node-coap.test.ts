/** node-coap, unmodified, over sockets of ours: it is given them, and knows nothing of DTLS. */
import { Agent, createServer, type IncomingMessage, type OutgoingMessage } from 'coap'
import t, { type Test } from 'tap'
import type { Socket } from '../../src/dgram.js'
import type { SecurityInfo } from '../../src/model/security-info.js'
import type { DatagramSecuritySettings } from '../../src/model/settings.js'
import { event } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { testIdentity } from '../support/identities.js'
import { trust } from '../support/secured.js'
import { builds, coapAnswer, coapClient, coapServer } from './dtls-libcoap.js'
import { identified, LOOPBACK, listening, speaking } from './dtls-sockets.js'
import { files } from './files.js'

const save = files(t)
const { ca } = await trust()
const server = await testIdentity()
const own = { cert: server.cert, key: server.key, ca }
const client = await identified(['client.example'])
const authority = ['-C', save({ ca }).ca]

t.test('its client and its server', async t => {
  const us = await serving(t, own, (request, response) => {
    response.end(`${request.method} ${request.url} ${request.payload}`)
  })
  const agent = clientOf(t, client)
  const answer = await asked(agent, us.port, { method: 'PUT', pathname: '/some/where' }, 'ours')
  t.same([answer.code, String(answer.payload)], ['2.05', 'PUT /some/where ours'])
  t.equal(us.secured.length, 1)
})

t.test('a body of many blocks', async t => {
  const body = 'a line of a long text\n'.repeat(500)
  const us = await serving(t, own, (request, response) => {
    response.end(request.payload)
  })
  const agent = clientOf(t, client)
  const options = { method: 'POST', pathname: '/long' } as const
  const answer = await asked(
    agent,
    us.port,
    { ...options, options: { Block1: Buffer.of(0x6) } },
    body,
  )
  t.equal(String(answer.payload), body)
})

t.test('an observed resource: the server speaks unasked', async t => {
  const us = await serving(t, own, (_request, response) => {
    let count = 0
    response.write(`value ${count}`)
    const timer = setInterval(() => {
      count += 1
      response.write(`value ${count}`)
    }, 50)
    t.teardown(() => clearInterval(timer))
    response.on('finish', () => clearInterval(timer))
  })
  const agent = clientOf(t, client)
  const request = agent.request({
    hostname: LOOPBACK,
    port: us.port,
    pathname: '/v',
    observe: true,
  })
  request.end()
  const [answer] = (await event(request, 'response')) as [IncomingMessage & { close(): void }]
  const values: string[] = []
  await new Promise<void>(resolve => {
    answer.on('data', (chunk: Buffer) => {
      values.push(String(chunk))
      if (values.length === 3) resolve()
    })
  })
  t.same(values, ['value 0', 'value 1', 'value 2'])
  answer.close()
})

for (const build of builds) {
  const clientIsMissing = !requireProgram(t, `coap-client-${build}`)
  const serverIsMissing = !requireProgram(t, `coap-server-${build}`)

  t.test(`coap-client-${build} and its server`, { skip: clientIsMissing }, async t => {
    const us = await serving(t, own, (request, response) => {
      response.end(`${request.method} ${request.url}`)
    })
    const known = shows(await testIdentity(['client.example']))
    const program = coapClient(t, build, us.port, 'temp', ...authority, ...known)
    await program.said(coapAnswer)
    t.same(coapAnswer.exec(program.output)?.slice(1), ['2.05', 'GET /temp'])
    t.match(us.secured, [{ info: { peer: { names: ['client.example'] } } }])
  })

  t.test(`its client and coap-server-${build}`, { skip: serverIsMissing }, async t => {
    const { port } = await coapServer(t, build, ...authority, ...shows(server))
    const agent = clientOf(t, client)
    const put = await asked(agent, port, { method: 'PUT', pathname: '/example_data' }, 'ours')
    t.equal(put.code, '2.01')
    const answer = await asked(agent, port, { pathname: '/example_data' })
    t.same([answer.code, String(answer.payload)], ['2.05', 'ours'])
  })
}

t.test('a server that proves another name gets no request', async t => {
  const other = await testIdentity(['db.example.com'])
  const us = await serving(t, { cert: other.cert, key: other.key, ca }, () => t.fail('asked'))
  const agent = clientOf(t, client)
  const request = agent.request({ hostname: LOOPBACK, port: us.port })
  request.on('response', () => t.fail('answered'))
  request.end()
  const [error] = await event(request, 'error')
  t.match(error, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
})

async function serving(
  t: Test,
  security: DatagramSecuritySettings,
  listener: (request: IncomingMessage, response: OutgoingMessage) => void,
): Promise<{ port: number; secured: { info: SecurityInfo }[] }> {
  const { socket, port, secured } = await listening(t, security, { echo: false })
  const server = createServer(listener)
  server.listen(socket as Parameters<typeof server.listen>[0])
  t.teardown(() => server.close())
  return { port, secured }
}

function clientOf(t: Test, security: DatagramSecuritySettings): Agent {
  const socket: Socket = speaking(t, security)
  const agent = new Agent({ socket })
  t.teardown(() => agent.close())
  return agent
}

async function asked(
  agent: Agent,
  port: number,
  request: Parameters<Agent['request']>[0] & object,
  body = '',
): Promise<IncomingMessage> {
  const pending = agent.request({ hostname: LOOPBACK, port, ...request })
  pending.end(body)
  const [answer] = await event(pending, 'response')
  return answer as IncomingMessage
}

function shows({ cert, key }: { cert: string; key: string }): string[] {
  const paths = save({ cert, key })
  return ['-c', paths.cert, '-j', paths.key]
}
