/**
 * A listener that closes its socket while others of the same batch are still to come: none of them is
 * heard, and what it has sent before leaves.
 */
import t from 'tap'
import { event, failure } from '../support/events.js'
import {
  boundSocket,
  datagramSocket,
  identified,
  LOOPBACK,
  sent,
} from '../support/secured-datagrams.js'
import { bound } from '../support/udp-tap.js'

/** More than one message of the system holds, and than one call brings. */
const burst = Array.from({ length: 200 }, (_, index) => `message ${1000 + index}`)

for (const last of [1, 3, 64, 150]) {
  t.test(`close() with message ${last} of ${burst.length}`, async t => {
    const security = await identified()
    const { socket: server, port } = await boundSocket(t, security)
    const client = datagramSocket(t, { security })
    await client.secure({ address: LOOPBACK, port })
    const heard: string[] = []
    server.on('message', (message, { port, address }) => {
      heard.push(message.toString())
      if (heard.length !== last) return
      server.send('last words', port, address)
      server.close()
    })
    const closed = event(server, 'close')
    const answered = event(client, 'message')
    await Promise.all(burst.map(text => sent(client, text, port)))
    await closed
    t.equal(String((await answered)[0]), 'last words')
    // Whatever still stood in some queue would have come by now.
    await new Promise(setImmediate)
    t.equal(heard.length, last, 'nothing after it')
    t.same(heard.slice(0, last), burst.slice(0, last), 'and all before it, in order')
  })
}

t.test('close() that waits for a handshake: nothing is heard meanwhile', async t => {
  const silent = await bound()
  t.teardown(() => silent.close())
  const security = { ...(await identified()), handshakeTimeout: 1000 }
  const { socket: server, port } = await boundSocket(t, security)
  const client = datagramSocket(t, { security })
  await client.secure({ address: LOOPBACK, port })
  const heard: string[] = []
  server.on('message', message => {
    heard.push(message.toString())
    if (heard.length === 3) server.close()
  })
  const waiting = failure(sent(server, 'nobody answers', silent.address().port))
  const closed = event(server, 'close')
  await Promise.all(burst.map(text => sent(client, text, port)))
  t.match(await waiting, { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' })
  await closed
  t.same(heard, burst.slice(0, 3))
})
