/** libcoap, the CoAP of small devices: its programs over OpenSSL and over GnuTLS, at either end. */
import { parse } from 'coap-packet'
import t from 'tap'
import type { Socket } from '../../src/dgram.js'
import type { Identity } from '../../src/identity/identity.js'
import type { DatagramSecuritySettings } from '../../src/model/settings.js'
import { event, failure } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { expiredIdentity, strangerIdentity, testIdentity } from '../support/identities.js'
import { trust } from '../support/secured.js'
import { until } from '../support/until.js'
import {
  builds,
  coapAnswer,
  coapClient,
  coapRequest,
  coapResponse,
  coapServer,
} from './dtls-libcoap.js'
import { at, identified, listening, sent, speaking } from './dtls-sockets.js'
import { files } from './files.js'

const save = files(t)
const { ca } = await trust()
const server = await testIdentity()
const own = { cert: server.cert, key: server.key, ca }
const client = await identified(['client.example'])
const known = shows(await testIdentity(['client.example']))
const authority = ['-C', save({ ca }).ca]
const secret = 'a shared secret'
const ccm8 = 'PSK-AES128-CCM8'

// They wait far more than they work.
t.jobs = 4

for (const build of builds) {
  const clientIsMissing = !requireProgram(t, `coap-client-${build}`)
  const serverIsMissing = !requireProgram(t, `coap-server-${build}`)

  // Its client, our server.

  t.test(`coap-client-${build}`, { skip: clientIsMissing, buffered: true }, async t => {
    await t.test('by certificate, and both know each other', async t => {
      const us = await answering(t, own)
      const program = coapClient(t, build, us.port, 'some/where', ...authority, ...known)
      const gone = event(us.socket, 'peerClose')
      const [, code, payload] = await program.said(coapAnswer)
      t.same([code, payload], ['2.05', '/some/where '])
      const { from } = await us.heard.next()
      t.same(from.peer?.names, ['client.example'])
      t.match(us.secured, [{ info: { version: 'DTLSv1.2', peer: { names: ['client.example'] } } }])
      t.match(await gone, [at(from.port)], 'it says when it ends')
    })
    await t.test('by pre-shared key, and with the suite of CoAP', async t => {
      for (const [security, cipher] of [
        [{ psk: { sensor: Buffer.from(secret) } }, /_PSK_WITH_/],
        [{ psk: { sensor: Buffer.from(secret) }, ciphers: ccm8 }, 'TLS_PSK_WITH_AES_128_CCM_8'],
      ] as const) {
        const us = await answering(t, security)
        const program = coapClient(t, build, us.port, 'temp', '-k', secret, '-u', 'sensor')
        await program.said(coapAnswer)
        t.match(us.secured, [{ info: { cipher, peer: { pskIdentity: 'sensor' } } }])
      }
    })
    await t.test('the wrong key, and an unknown identity', async t => {
      for (const [identity, key] of [
        ['sensor', 'another secret'],
        ['stranger', secret],
      ] as const) {
        const us = await answering(t, {
          psk: { sensor: Buffer.from(secret) },
          handshakeTimeout: 1500,
        })
        coapClient(t, build, us.port, 'temp', '-k', key, '-u', identity)
        await until(`${identity} is refused`, () => us.socket.stats.handshakesFailed > 0)
        t.same([us.secured, us.heard.all, us.socket.peers()], [[], [], []])
      }
    })
    await t.test('it has to prove who it is', async t => {
      for (const [what, credentials] of [
        ['another authority', shows(await strangerIdentity(['client.example']))],
        ['expired', shows(await expiredIdentity(['client.example']))],
      ] as const) {
        const us = await answering(t, own)
        const program = coapClient(t, build, us.port, 'temp', '-n', ...authority, ...credentials)
        await until(`${what} is refused`, () => us.socket.stats.handshakesFailed > 0)
        await program.stop()
        t.same([us.secured, us.heard.all, us.socket.peers()], [[], [], []])
      }
    })
    await t.test('it refuses us where it should', async t => {
      // It looks at no name, and at no date: "overridden", as it says.
      const { cert, key } = await strangerIdentity()
      const us = await answering(t, { ca, cert, key })
      const program = coapClient(t, build, us.port, 'temp', ...authority, ...known)
      await program.ended()
      t.notMatch(program.output, coapAnswer)
      await until('its alert has come', () => us.socket.stats.handshakesFailed === 1)
      t.same([us.secured, us.heard.all], [[], []])
    })
  })

  // Its server, our client.

  t.test(`coap-server-${build}`, { skip: serverIsMissing, buffered: true }, async t => {
    await t.test('by certificate: what we put there is there', async t => {
      const { port, program } = await coapServer(t, build, ...authority, ...shows(server))
      const socket = speaking(t, client)
      t.match(await socket.secure(at(port)), {
        version: 'DTLSv1.2',
        peer: { targetName: '127.0.0.1', pin: server.pin },
      })
      t.equal((await asked(socket, port, 'PUT', 'example_data', 'ours')).code, '2.01')
      const { code, payload } = await asked(socket, port, 'GET', 'example_data')
      t.same([code, String(payload)], ['2.05', 'ours'])
      await program.said(/CN '.*' presented by client/)

      const gone = event(socket, 'peerClose')
      await program.stop()
      t.match(await gone, [at(port)], 'it says when it ends')
    })
    await t.test('after our close_notify the next message makes a new handshake', async t => {
      const { port } = await coapServer(t, build, ...authority, ...shows(server))
      const socket = speaking(t, client)
      socket.on('peerError', error => t.fail(error.message))
      await asked(socket, port, 'GET', 'time')
      socket.closePeer(at(port))
      // Neither resumes: the one has no tickets, the other refuses every session with an alert.
      t.equal((await asked(socket, port, 'GET', 'time')).code, '2.05')
      t.match(await socket.querySecurity(at(port)), { resumed: false, peer: { pin: server.pin } })
    })
    await t.test('by pre-shared key, and with the suite of CoAP', async t => {
      const { port } = await coapServer(t, build, '-k', secret)
      for (const [settings, cipher] of [
        [{}, /_PSK_WITH_/],
        [{ ciphers: ccm8 }, 'TLS_PSK_WITH_AES_128_CCM_8'],
      ] as const) {
        const psk = { identity: 'sensor', key: Buffer.from(secret) }
        const socket = speaking(t, { psk, ...settings })
        t.match(await socket.secure(at(port)), { cipher, peer: { pskIdentity: 'sensor' } })
        t.equal((await asked(socket, port, 'GET', 'time')).code, '2.05')
      }
    })
    await t.test('with the wrong key nothing leaves us', async t => {
      const { port, program } = await coapServer(t, build, '-k', secret)
      const psk = { identity: 'sensor', key: Buffer.from('another secret') }
      const socket = speaking(t, { psk, handshakeTimeout: 1500 })
      const error = await failure(sent(socket, coapRequest('GET', 'time'), port))
      t.match(error, { message: /pre-shared key/ })
      t.notMatch(program.output, 'c:GET')
    })
    await t.test('where it is not who it should be nothing leaves us', async t => {
      for (const [identity, code] of [
        [await testIdentity(['db.example.com']), 'ERR_PEER_TARGET_NAME_MISMATCH'],
        [await strangerIdentity(), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
        [await expiredIdentity(), 'CERT_HAS_EXPIRED'],
      ] as const) {
        const { port, program } = await coapServer(t, build, ...authority, ...shows(identity))
        const socket = speaking(t, client)
        t.match(await failure(sent(socket, coapRequest('GET', 'time'), port)), { code })
        t.notMatch(program.output, 'c:GET')
      }
    })
    await t.test('it refuses us where we prove nothing', async t => {
      const { port } = await coapServer(t, build, ...authority, ...shows(server))
      const { cert, key } = await strangerIdentity(['client.example'])
      const socket = speaking(t, { cert, key, ca, handshakeTimeout: 3000 })
      const error = await failure(sent(socket, coapRequest('GET', 'time'), port))
      t.match(error, { code: /^ERR_/ })
    })
  })
}

/** Our server: it answers what it was asked. */
async function answering(t: Parameters<typeof listening>[0], security: DatagramSecuritySettings) {
  const us = await listening(t, security, { echo: false })
  us.socket.on('message', (message, { port, address }) => {
    us.socket.send(coapResponse(message), port, address)
  })
  return us
}

/** Our client: what the server answers. */
async function asked(
  socket: Socket,
  port: number,
  ...request: Parameters<typeof coapRequest>
): Promise<ReturnType<typeof parse>> {
  const [[message]] = await Promise.all([
    event(socket, 'message'),
    sent(socket, coapRequest(...request), port),
  ])
  return parse(message as Buffer)
}

function shows({ cert, key }: Pick<Identity, 'cert' | 'key'>): string[] {
  const paths = save({ cert, key })
  return ['-c', paths.cert, '-j', paths.key]
}
