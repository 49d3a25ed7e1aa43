/**
 * A program that uses this library itself is secured once, and by itself: each peer here takes one layer
 * of TLS off, and must find the text below it.
 */
import { cpSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import tls from 'node:tls'
import t from 'tap'
import { built } from '../examples/built.js'
import { event, text } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { until } from '../support/until.js'
import { policyFile, registered, registerFile } from './registered.js'

t.before(built)

const { ca, cert, key } = await testIdentity()

t.test('its own sockets are secured once, whatever copy of the library it has', async t => {
  const policy = await policyFile(t)
  const copy = join(dirname(policy), 'copy')
  cpSync(dirname(registerFile), copy, { recursive: true })
  for (const [what, face, ...more] of [
    ['required', 'secure-socket/net'],
    ['imported', 'secure-socket/net', 'import'],
    ['another copy', join(copy, 'net.cjs')],
  ] as const) {
    const heard: string[] = []
    const peer = tls.createServer({ cert, key }, socket => {
      socket.on('error', () => {}).on('data', data => heard.push(String(data)))
      socket.write('of the peer')
    })
    peer.listen(0, '127.0.0.1')
    await event(peer, 'listening')
    t.teardown(() => peer.close())
    const { port } = peer.address() as AddressInfo
    const program = registered(t, ['explicit.cjs', face, String(port), ...more], { policy })
    await program.said(/client has got: of the peer/)
    await until('the peer has heard the client', () => heard.length > 0)
    t.strictSame(heard, ['of the client'], what)

    const [, own] = await program.said(/listens at (\d+)/)
    const client = tls.connect({ port: Number(own), host: 'localhost', ca })
    t.equal(await text(client), 'of the server', what)
    await program.stop()
  }
})
