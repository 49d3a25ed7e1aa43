/** Where a socket connects once more, it is decided anew. */
import net from 'node:net'
import tls from 'node:tls'
import t from 'tap'
import { built } from '../examples/built.js'
import { event } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { policyFile, registered } from './registered.js'

t.before(built)

t.test('one socket that connects in clear and secured by turns', async t => {
  const { cert, key } = await testIdentity()
  const echo = (socket: net.Socket) => socket.on('error', () => {}).pipe(socket)
  const plain = net.createServer(echo)
  const secured = tls.createServer({ cert, key }, echo)
  const ports = []
  for (const server of [plain, secured]) {
    server.listen(0, '127.0.0.1')
    await event(server, 'listening')
    t.teardown(() => server.close())
    ports.push((server.address() as net.AddressInfo).port)
  }
  const policy = await policyFile(t, { clear: [{ port: ports[0] }] })
  const program = registered(t, ['again.cjs', ...ports.map(String)], { policy })
  t.same(await program.ended(20_000), { code: 0, signal: null }, program.output)
  t.equal(program.output.match(/: again/g)?.length, 8)
})
