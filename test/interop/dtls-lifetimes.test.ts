/**
 * What renews itself while it is in use, against servers that know nothing of it. They ignore a
 * ClientHello from a peer whose session is alive, so it takes a close_notify first.
 */
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { DatagramSecuritySettings } from '../../src/model/settings.js'
import { event } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { testIdentity } from '../support/identities.js'
import { trust } from '../support/secured.js'
import { until } from '../support/until.js'
import { builds, coapRequest, coapServer } from './dtls-libcoap.js'
import { at, inbox, listening, sent, speaking } from './dtls-sockets.js'
import { files } from './files.js'
import { gnutlsCli, gnutlsServ } from './gnutls.js'
import { sClient, sServer, sServerAt } from './openssl.js'

const save = files(t)
const { ca } = await trust()
const server = await testIdentity()
const paths = save({ cert: server.cert, key: server.key, ca })
const client = await testIdentity(['client.example'])
const clientPaths = save({ cert: client.cert, key: client.key })
const missing = {
  openssl: !requireProgram(t, 'openssl'),
  'gnutls-serv': !requireProgram(t, 'gnutls-serv'),
  'gnutls-cli': !requireProgram(t, 'gnutls-cli'),
  'coap-server-openssl': !requireProgram(t, 'coap-server-openssl'),
  'coap-server-gnutls': !requireProgram(t, 'coap-server-gnutls'),
}

interface Foreign {
  readonly port: number
  /** Says something to it and waits until it has come there. */
  reach(text: string): Promise<void>
}

/** Every foreign server, and how a message is seen to have come there. */
const servers = {
  openssl: async (t: Test, socket: Ours): Promise<Foreign> => {
    const { port, program } = await sServer(t, '-dtls1_2', '-cert', paths.cert, '-key', paths.key)
    return {
      port,
      async reach(text) {
        await sent(socket, `${text}\n`, port)
        await program.said(new RegExp(`^${text}$`, 'm'))
      },
    }
  },
  'gnutls-serv': async (t: Test, socket: Ours): Promise<Foreign> => {
    const shown = ['--x509certfile', paths.cert, '--x509keyfile', paths.key]
    const { port, program } = await gnutlsServ(t, '--udp', '--disable-client-cert', ...shown)
    return {
      port,
      async reach(text) {
        await sent(socket, `${text}\n`, port)
        await program.said(new RegExp(`received\\[\\w+\\]: ${text}$`, 'm'))
      },
    }
  },
  'coap-server-openssl': (t: Test, socket: Ours) => coap(t, socket, builds[0]),
  'coap-server-gnutls': (t: Test, socket: Ours) => coap(t, socket, builds[1]),
}
type Ours = ReturnType<typeof speaking>
type Name = keyof typeof servers

// They wait far more than they work.
t.jobs = 4

for (const name of Object.keys(servers) as Name[]) {
  const skip = missing[name]

  t.test(`${name}: keys of a certain age are replaced`, { skip, buffered: true }, async t => {
    const { socket, peer } = await secured(t, name, { rekeyAfter: 500 })
    await peer.reach('under the first keys')
    const { since } = await socket.querySecurity(at(peer.port))
    // Not before it has seen that the server does not answer a ClientHello (2 retransmissions).
    await until('there are new keys', () => handshakes(socket, peer) > 1)
    await peer.reach('under other keys')
    const info = await socket.querySecurity(at(peer.port))
    t.ok(info.since && since && info.since > since)
    t.match(info, { secured: true, peer: { pin: server.pin } })
    t.same(socket.peers(), [at(peer.port)])
  })

  t.test(
    `${name}: after a silence the next message makes a handshake`,
    { skip, buffered: true },
    async t => {
      const { socket, peer } = await secured(t, name, { resumeAfter: 300 })
      await peer.reach('before the silence')
      await setTimeout(400)
      await peer.reach('after it')
      t.equal(handshakes(socket, peer), 2)
      const resumes = !name.startsWith('coap-server')
      t.match(await socket.querySecurity(at(peer.port)), {
        resumed: resumes,
        peer: { pin: server.pin },
      })
    },
  )
}

t.test(
  'a server that starts anew is found again',
  { skip: missing.openssl, buffered: true },
  async t => {
    const first = await sServer(t, '-dtls1_2', '-cert', paths.cert, '-key', paths.key)
    const { port } = first
    const socket = speaking(t, { ca, resumeAfter: 300 })
    await sent(socket, 'first life\n', port)
    await first.program.said(/first life\n/)
    await first.program.stop()

    const second = await sServerAt(t, port, '-dtls1_2', '-cert', paths.cert, '-key', paths.key)
    await setTimeout(400)
    await sent(socket, 'second life\n', port)
    await second.program.said(/second life\n/)
    t.equal((await socket.querySecurity(at(port))).resumed, false, 'it has forgotten the session')
  },
)

t.test('a client that says nothing is let go, and told so', { buffered: true }, async t => {
  const us = await listening(t, { cert: server.cert, key: server.key, ca, idleTimeout: 500 })
  for (const [program, start, goodbye] of [
    [
      'openssl',
      () => sClient(t, us.port, '-dtls1_2', '-cert', clientPaths.cert, '-key', clientPaths.key),
      /^closed$/m,
    ],
    [
      'gnutls-cli',
      () =>
        gnutlsCli(
          t,
          us.port,
          '--udp',
          '--x509cafile',
          paths.ca,
          '--verify-hostname',
          'localhost',
          '--x509certfile',
          clientPaths.cert,
          '--x509keyfile',
          clientPaths.key,
        ),
      /Peer has closed the GnuTLS connection/,
    ],
  ] as const) {
    if (missing[program]) continue
    const gone = event(us.socket, 'peerClose')
    await start().said(goodbye)
    await gone
    t.same(us.socket.peers(), [])
  }
})

async function secured(t: Test, name: Name, settings: DatagramSecuritySettings) {
  const { cert, key } = client
  const socket = speaking(t, { cert, key, ca, ...settings })
  socket.on('peerError', error => t.fail(error.message))
  return { socket, peer: await servers[name](t, socket) }
}

function handshakes(socket: Ours, peer: Foreign): number {
  return socket.peerStats(at(peer.port))?.handshakes ?? 0
}

async function coap(t: Test, socket: Ours, build: (typeof builds)[number]): Promise<Foreign> {
  const shown = ['-c', paths.cert, '-j', paths.key, '-C', paths.ca]
  const { port, program } = await coapServer(t, build, ...shown)
  const heard = inbox(socket)
  return {
    port,
    async reach(text) {
      await sent(socket, coapRequest('PUT', 'example_data', text), port)
      await program.said(new RegExp(`c:PUT .*:: '${text}'`))
      await heard.next()
    },
  }
}
