/** A stranger's JSON that a program merges into its objects can reach Object.prototype, and must not switch us off. */
import dgram from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import t from 'tap'
import { built } from '../examples/built.js'
import { launch } from '../support/program.js'
import { root } from '../support/project-root.js'
import { policyFile, registerFile } from './registered.js'

t.before(built)

t.test('nothing goes clear for what stands in Object.prototype', async t => {
  const datagrams = dgram.createSocket('udp4')
  const streams = net.createServer()
  t.teardown(() => [datagrams.close(), streams.close()])
  datagrams.bind(0, '127.0.0.1')
  streams.listen(0, '127.0.0.1')
  await Promise.all([once(datagrams, 'listening'), once(streams, 'listening')])
  const sent = once(datagrams, 'message')
  const written = once(streams, 'connection').then(async ([peer]) => {
    const [chunk] = await once(peer, 'data')
    peer.destroy()
    return chunk
  })
  const script = `
    // Not enumerable: else koffi cannot be loaded any more, and datagrams fail for that.
    for (const name of ['querySecurity', 'setSecurity'])
      Object.defineProperty(Object.prototype, name, { value: 1 })
    const net = require('node:net')
    const ports = [${[datagrams.address().port, (streams.address() as net.AddressInfo).port]}]
    require('node:dgram').createSocket('udp4').send('in clear', ports[0], '127.0.0.1', () => {})
    net.connect(ports[1], '127.0.0.1').on('error', () => {}).end('in clear')
    const server = net.createServer(() => console.log('a connection in clear'))
    server.listen(0, '127.0.0.1', () => console.log(server.address().port))
    server.on('tlsClientError', () => process.exit())
    setTimeout(() => process.exit(), 10_000)`
  const env = { SECURE_SOCKET_POLICY: await policyFile(t), NODE_OPTIONS: undefined }
  const program = launch(t, process.execPath, ['--require', registerFile, '-e', script], {
    cwd: root,
    env,
  })
  const port = Number((await program.said(/^(\d+)$/m))[1])
  net
    .connect(port, '127.0.0.1')
    .on('error', () => {})
    .end('in clear')
  t.equal((await sent)[0][0], 22, 'datagrams begin with a handshake')
  t.equal((await written)[0], 22, 'connections, too')
  await program.ended()
  t.notMatch(program.output, 'a connection in clear')
})
