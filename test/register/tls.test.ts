/** TLS of the program's own is left as it is: it is not secured a second time. */
import { dirname } from 'node:path'
import tls from 'node:tls'
import t from 'tap'
import { built } from '../examples/built.js'
import { event } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { policyFile, registered } from './registered.js'

t.before(built)

t.test('clients and servers of tls and https speak to those that know nothing of us', async t => {
  const { ca, cert, key } = await testIdentity()
  const server = tls.createServer({ cert, key }, socket => socket.pipe(socket))
  server.listen(0, 'localhost')
  await event(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const policy = await policyFile(t)
  const program = registered(t, ['tls.cjs', String(port), dirname(policy)], { policy })

  await program.said(/tls\.connect: direct/)
  const [, own] = await program.said(/tls\.createServer listens at (\d+)/)
  const client = tls.connect({ port: Number(own), host: 'localhost', ca })
  client.write('from outside')
  t.equal(String((await event(client, 'data'))[0]), 'from outside')
  client.destroy()
  await program.said(/https: web/)
  await program.said(/nested: nested/)
})
