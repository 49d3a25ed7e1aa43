/**
 * Tests of the test: what the others look for on the wire is seen there when it happens. Plain programs
 * of node:dgram, and a strongSwan that an administrator has configured, rightly and wrongly.
 */
import dgram from 'node:dgram'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { until } from '../support/until.js'
import { configure, swanctl } from './support/administrator.js'
import { addressOf, needsGuest } from './support/hosts.js'
import { type Peer, startPeer } from './support/peer.js'
import { inClear, inWords, secured, shows, type Wire, watchWire } from './support/wire.js'

const port = 5000
const [a, b] = [addressOf('a', 4), addressOf('b', 4)]
let wire: Wire
let peer: Peer

/** Two hosts whose datagrams from port 5000 to port 5000 are to be secured. */
function flow(local: 'a' | 'b', child: string, remoteId = `${other(local)}.example`): string {
  return `connections {
  flow {
    local_addrs = ${addressOf(local, 4)}
    remote_addrs = ${addressOf(other(local), 4)}
    proposals = aes128gcm16-prfsha256-ecp256
    local {
      auth = pubkey
      certs = host.pem
      id = ${local}.example
    }
    remote {
      auth = pubkey
      id = ${remoteId}
    }
    children {
      datagrams {
        mode = transport
        esp_proposals = aes128gcm16-ecp256
        local_ts = dynamic[udp/${port}]
        remote_ts = dynamic[udp/${port}]
        ${child}
      }
    }
  }
}`
}

function other(host: 'a' | 'b') {
  return host === 'a' ? 'b' : 'a'
}

async function plainSocket(t: Test): Promise<dgram.Socket> {
  const socket = dgram.createSocket('udp4').bind(port, a)
  t.teardown(() => socket.close())
  await once(socket, 'listening')
  return socket
}

async function hasArrived(text: string): Promise<void> {
  await until(`${text} arrives`, async () => (await peer.received(port)).includes(text))
}

t.test('what the wire shows', async t => {
  if (!needsGuest(t)) return
  wire = await watchWire(t)
  peer = startPeer(t, 'b')
  await peer.datagrams({ proof: 'none', address: b, port })

  await t.test('nothing but ESP, where strongSwan has keys and a policy', async t => {
    configure('b', flow('b', 'start_action = none'))
    configure('a', flow('a', 'start_action = trap'))
    swanctl('a', ['--initiate', '--child', 'datagrams'])
    const socket = await plainSocket(t)
    wire.forget()
    socket.send('secured', port, b)
    await hasArrived('secured')

    const packets = await wire.packets()
    t.same(inWords(inClear(packets, port)), [])
    t.notOk(shows(packets, 'secured'))
    t.equal(secured(packets, a, b).length, 1)
    t.equal(secured(packets, b, a).length, 1, 'and the answer')
  })

  await t.test('what belongs to no policy, as it is', async t => {
    const socket = dgram.createSocket('udp4')
    t.teardown(() => socket.close())
    wire.forget()
    socket.send('not of the flow', port, b)
    await hasArrived('not of the flow')
    t.ok(shows(await wire.packets(), 'not of the flow'))
  })

  await t.test('a datagram that leaves before there are keys, where there is no trap', async t => {
    configure('a', flow('a', 'start_action = none'))
    swanctl('a', ['--terminate', '--ike', 'flow'])
    const socket = await plainSocket(t)
    wire.forget()
    socket.send('too early', port, b)
    await hasArrived('too early')
    const packets = await wire.packets()
    t.ok(shows(packets, 'too early'))
    t.not(inClear(packets, port).length, 0)
  })

  await t.test(
    'datagrams in clear, where keys have no policy, though the list looks fine',
    async t => {
      for (const host of ['b', 'a'] as const)
        configure(host, flow(host, 'policies = no\n        start_action = none'))
      swanctl('a', ['--initiate', '--child', 'datagrams'])
      t.match(swanctl('a', ['--list-sas']), /datagrams: .*INSTALLED/)
      const socket = await plainSocket(t)
      wire.forget()
      socket.send('no policy', port, b)
      await hasArrived('no policy')
      t.ok(shows(await wire.packets(), 'no policy'))
    },
  )

  await t.test('an error of ICMP that quotes a secured datagram in clear', async t => {
    configure('b', flow('b', 'start_action = none'))
    configure('a', flow('a', 'start_action = trap'))
    swanctl('a', ['--initiate', '--child', 'datagrams'])
    await peer.close(port)
    const socket = await plainSocket(t)
    wire.forget()
    socket.send('nobody takes it', port, b)
    await until('the error', async () => shows(await wire.packets(), 'nobody takes it'))
    const [error] = inClear(await wire.packets(), port)
    t.equal(error?.protocol, 'icmp', 'which is why keys go before their socket does')
  })
})
