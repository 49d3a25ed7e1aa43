/**
 * The other end is a plain program, and what secures it an administrator has configured by hand, as
 * strongSwan's manual says. It knows nothing of this library.
 */
import { once } from 'node:events'
import t from 'tap'
import { createSocket } from '../../src/dgram.js'
import { createServer, type SecureSocket } from '../../src/net.js'
import { connect } from '../../src/promises.js'
import { until } from '../support/until.js'
import { configure } from './support/administrator.js'
import { addressOf, nameOf, needsGuest, securityOf } from './support/hosts.js'
import { startPeer } from './support/peer.js'
import { inClear, inWords, secured, watchWire } from './support/wire.js'

const [a, b] = [addressOf('a', 4), addressOf('b', 4)]

/** Everything of these ports with that host is secured, whoever begins. */
const conf = `connections {
  programs {
    local_addrs = ${b}
    remote_addrs = ${a}
    proposals = aes128gcm16-prfsha256-ecp256,aes256gcm16-prfsha384-ecp384
    local {
      auth = pubkey
      certs = host.pem
      id = b.example
    }
    remote {
      auth = pubkey
      id = a.example
    }
    children {
      datagrams {
        mode = transport
        esp_proposals = aes128gcm16-ecp256,aes256gcm16-ecp384
        local_ts = dynamic[udp/5000]
        remote_ts = dynamic[udp]
        start_action = trap
      }
      streams {
        mode = transport
        esp_proposals = aes128gcm16-ecp256,aes256gcm16-ecp384
        local_ts = dynamic[tcp/5000]
        remote_ts = dynamic[tcp]
        start_action = trap
      }
      calls {
        mode = transport
        esp_proposals = aes128gcm16-ecp256,aes256gcm16-ecp384
        local_ts = dynamic[tcp]
        remote_ts = dynamic[tcp/6000]
        start_action = trap
      }
    }
  }
}`

t.test('with a plain program on a host that is configured by hand', async t => {
  if (!needsGuest(t)) return
  const wire = await watchWire(t)
  const peer = startPeer(t, 'b')
  configure('b', conf)
  const security = securityOf('a', 'certificate')

  await t.test('datagrams there and back', async t => {
    await peer.datagrams({ proof: 'none', address: b, port: 5000 })
    const socket = createSocket({ type: 'udp4', security })
    t.teardown(() => new Promise<void>(resolve => socket.close(resolve)))
    socket.setPeerTargetName({ address: b, port: 5000, targetName: nameOf('b') })
    const texts: string[] = []
    socket.on('message', message => texts.push(String(message)))
    socket.bind(0, a)
    await once(socket, 'listening')
    wire.forget()
    socket.send('to a plain program', 5000, b)
    await until('the answer', () => texts.includes('to a plain program'))
    const packets = await wire.packets()
    t.same(inWords(inClear(packets, 5000)), [])
    t.equal(secured(packets, a, b).length, 1)
    t.equal(secured(packets, b, a).length, 1)
  })

  await t.test('a connection to its server', async t => {
    await peer.listen({ proof: 'none', address: b, port: 5000 })
    wire.forget()
    const socket = await connect({ host: b, port: 5000, security, peerTargetName: nameOf('b') })
    t.match(await socket.querySecurity(), { secured: true, encrypted: true, protocol: 'ipsec' })
    socket.end('a question')
    let answer = ''
    for await (const data of socket) answer += data
    t.equal(answer, 'a question')
    const packets = await wire.packets()
    t.same(inWords(inClear(packets, 5000)), [])
    t.not(secured(packets, b, a).length, 0)
  })

  await t.test('a connection of its client to our server', async t => {
    const server = createServer({ security })
    t.teardown(() => server.close())
    const peers: unknown[] = []
    server.on('connection', (socket: SecureSocket) => {
      socket.querySecurity().then(({ peer }) => peers.push(peer))
      socket.on('error', error => t.fail(error.message))
      socket.pipe(socket)
    })
    server.listen(6000, a)
    await once(server, 'listening')
    wire.forget()
    t.equal(await peer.connect({ proof: 'none', address: a, port: 6000, text: 'hello' }), 'hello')
    await until('who it is', () => peers.length === 1)
    t.match(peers, [{ names: ['b.example'] }])
    t.same(inWords(inClear(await wire.packets(), 6000)), [])
  })

  await t.test('and what it does not secure gets nothing from us', async t => {
    await peer.listen({ proof: 'none', address: b, port: 5001 })
    wire.forget()
    const to = { host: b, port: 5001, security, peerTargetName: nameOf('b') }
    await t.rejects(connect(to), { code: 'EPROTO' })
    t.same(inWords(inClear(await wire.packets(), 5001)), [])
  })
})
