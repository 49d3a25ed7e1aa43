/** What a policy leaves in clear stays as it is; nothing else does, and nothing where there is no usable policy. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import t, { type Test } from 'tap'
import { built } from '../examples/built.js'
import { event } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { policyFile, registered } from './registered.js'

t.before(built)

const { ca, cert, key } = await testIdentity()

/** A server that nobody secures, and all that it has heard. */
async function plainServer(t: Test, where: net.ListenOptions = { port: 0, host: '127.0.0.1' }) {
  const heard: Buffer[] = []
  const server = net.createServer(socket => {
    socket.on('data', chunk => heard.push(chunk)).on('error', () => {})
    socket.pipe(socket)
  })
  server.listen(where)
  await event(server, 'listening')
  t.teardown(() => server.close())
  const { port = 0 } = Object(server.address()) as { port?: number }
  return { port, heard: () => Buffer.concat(heard).toString('latin1') }
}

async function tlsServer(t: Test): Promise<number> {
  const server = tls.createServer({ cert, key }, socket =>
    socket.on('error', () => {}).pipe(socket),
  )
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as net.AddressInfo).port
}

t.test('a port that stays clear: to it in clear, to others secured', async t => {
  const { port } = await plainServer(t)
  const other = await tlsServer(t)
  const policy = await policyFile(t, { clear: [{ transport: 'tcp', direction: 'out', port }] })
  const targets = [`127.0.0.1:${port}`, `localhost:${port}`, `127.0.0.1:${other}`]
  const program = registered(t, ['client.cjs', ...targets], { policy })
  await program.ended()
  t.match(program.output, `127.0.0.1:${port}: got clear text, clear`)
  t.match(program.output, `localhost:${port}: got clear text, clear`)
  t.match(program.output, `127.0.0.1:${other}: got clear text, secured`)
})

t.test('a range of addresses: a name is looked up, and what was written waits for it', async t => {
  const { port } = await plainServer(t)
  const policy = await policyFile(t, { clear: [{ loopback: true }] })
  const targets = [`localhost:${port}`, `127.0.0.1:${port}`]
  const program = registered(t, ['client.cjs', ...targets, String(port)], { policy })
  await program.ended()
  for (const target of targets) t.match(program.output, `${target}: got clear text, clear`)
  t.match(program.output, `\n${port}: got clear text, clear`, 'no host is localhost')
})

t.test('what no rule names is secured, or fails: nothing of it is on the wire', async t => {
  const { port, heard } = await plainServer(t)
  const clear = [{ address: '10.0.0.0/8' }, { host: 'other.example.com' }, { port: 1 }]
  const policy = await policyFile(t, { clear, streams: { handshakeTimeout: 5000 } })
  const program = registered(t, ['client.cjs', `localhost:${port}`], { policy })
  await program.ended(20_000)
  t.match(program.output, /^localhost:\d+: E/m)
  t.match(program.output, 'still running')
  t.notMatch(heard(), 'clear text')
})

t.test('a host that is no string is an error of the program’s, as in Node', async t => {
  const { port, heard } = await plainServer(t)
  for (const clear of [[{ loopback: true }], [{ address: '10.0.0.0/8' }], [{ port }]]) {
    const policy = await policyFile(t, { clear })
    const program = registered(t, ['hosts.cjs', String(port)], { policy })
    t.same(await program.ended(), { code: 0, signal: null }, program.output)
    for (const kind of ['array', 'object', 'number'])
      t.match(program.output, `${kind}: TypeError ERR_INVALID_ARG_TYPE`)
  }
  t.equal(heard(), '')
})

const skip = process.platform === 'win32' && 'unix sockets'

t.test('pipes stay clear where the policy lists them, else they fail', { skip }, async t => {
  // Its path is short: the system cuts one of more than 107 bytes off.
  const folder = mkdtempSync(join(tmpdir(), 'clear-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'theirs')
  const { heard } = await plainServer(t, { path })
  const own = join(folder, 'own')
  const forbidden = await policyFile(t)
  for (const name of ['client.cjs', 'listen.cjs'] as const) {
    const program = registered(t, [name, name === 'client.cjs' ? path : own], { policy: forbidden })
    await program.said(/still running/)
    t.match(program.output, /: EAFNOSUPPORT: /)
    await program.stop()
  }
  t.equal(heard(), '')

  const policy = await policyFile(t, { clear: [{ pipes: true }] })
  const allowed = registered(t, ['client.cjs', path], { policy })
  await allowed.ended()
  t.match(allowed.output, `${path}: got clear text, clear`)
  const listening = registered(t, ['listen.cjs', own], { policy })
  await listening.said(/listens at/)
  const socket = net.connect(own)
  socket.write('clear text')
  t.equal(String((await event(socket, 'data'))[0]), 'clear text')
  socket.destroy()
})

t.test('a server decides for each client where a rule is about addresses', async t => {
  const policy = await policyFile(t, { clear: [{ direction: 'in', address: '127.0.0.2' }] })
  const program = registered(t, ['listen.cjs', '0.0.0.0:0'], { policy })
  const [, text] = await program.said(/listens at (\d+)/)
  const port = Number(text)
  const clear = net.connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' })
  clear.write('clear text')
  t.equal(String((await event(clear, 'data'))[0]), 'clear text')
  clear.destroy()
  await program.said(/a connection, clear/)

  const secured = tls.connect({ port, host: '127.0.0.1', ca })
  secured.write('secured text')
  t.equal(String((await event(secured, 'data'))[0]), 'secured text')
  secured.destroy()
  await program.said(/a connection, secured/)

  const refused = net.connect({ port, host: '127.0.0.1' })
  refused.on('error', () => {})
  refused.write('clear text')
  const heard: Buffer[] = []
  refused.on('data', chunk => heard.push(chunk))
  await event(refused, 'close')
  t.notMatch(Buffer.concat(heard).toString('latin1'), 'clear text')
})

t.test('a server at a port that stays clear needs no credentials', async t => {
  const folder = t.testdir()
  const { port } = await plainServer(t)
  const policy = join(folder, 'policy.json')
  const clear = [{ transport: 'tcp', direction: 'in', loopback: true }]
  writeFileSync(policy, JSON.stringify({ clear }), { mode: 0o600 })
  const program = registered(t, ['listen.cjs', '127.0.0.1:0', `127.0.0.1:${port}`], { policy })
  const [, own] = await program.said(/listens at (\d+)/)
  const socket = net.connect(Number(own), '127.0.0.1')
  socket.write('clear text')
  t.equal(String((await event(socket, 'data'))[0]), 'clear text')
  socket.destroy()
  await program.said(/EADDRINUSE/)
})

t.test('a policy that cannot be used: nothing goes clear, and the program is told', async t => {
  const { port, heard } = await plainServer(t)
  const folder = t.testdir({ broken: '{ "clear": [{ "loopback": true }], "identty": {} }' })
  for (const policy of [join(folder, 'broken'), join(folder, 'absent')]) {
    const client = registered(t, ['client.cjs', `127.0.0.1:${port}`], { policy })
    await client.ended()
    t.match(client.output, /127\.0\.0\.1:\d+: ERR_POLICY_INVALID: /)
    t.match(client.output, 'still running')
    const server = registered(t, ['listen.cjs', '127.0.0.1:0'], { policy })
    await server.said(/127\.0\.0\.1:0: ERR_POLICY_INVALID: /)
    await server.said(/still running/)
  }
  t.equal(heard(), '')
})

t.test('without any policy a server lacks its credentials, and nothing goes clear', async t => {
  const { port, heard } = await plainServer(t)
  const server = registered(t, ['listen.cjs', '127.0.0.1:0'], { policy: undefined })
  await server.said(/127\.0\.0\.1:0: ENOCREDENTIAL: /)
  const client = registered(t, ['client.cjs', `127.0.0.1:${port}`], { policy: undefined })
  await client.ended()
  t.match(client.output, 'still running')
  t.notMatch(heard(), 'clear text')
})

t.test(
  'allowInsecure: the connection in clear that the library makes is not secured again',
  async t => {
    const server = net.createServer(socket => socket.on('error', () => {}).end('no TLS here\n'))
    server.listen(0, '127.0.0.1')
    await event(server, 'listening')
    t.teardown(() => server.close())
    const { port } = server.address() as net.AddressInfo
    const streams = { guaranteeEncryption: false, allowInsecure: true }
    const policy = await policyFile(t, { streams })
    const program = registered(t, ['client.cjs', `127.0.0.1:${port}`], { policy })
    await program.ended()
    t.match(program.output, `127.0.0.1:${port}: got no TLS here, clear`)
  },
)
