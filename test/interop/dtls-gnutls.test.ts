/** GnuTLS over UDP, which shares no code with the OpenSSL inside Node, at either end. */
import t from 'tap'
import type { Identity } from '../../src/identity/identity.js'
import { event, failure } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { expiredIdentity, strangerIdentity, testIdentity } from '../support/identities.js'
import type { Program } from '../support/program.js'
import { trust } from '../support/secured.js'
import { until } from '../support/until.js'
import {
  at,
  closed,
  hasSrtp,
  identified,
  inbox,
  type Listening,
  listening,
  sent,
  speaking,
} from './dtls-sockets.js'
import { files } from './files.js'
import { gnutlsCli, gnutlsServ } from './gnutls.js'

const skip = !requireProgram(t, 'gnutls-cli') || !requireProgram(t, 'gnutls-serv')
const save = files(t)
const { ca } = await trust()
const authority = ['--x509cafile', save({ ca }).ca]
const server = await testIdentity()
const own = { cert: server.cert, key: server.key, ca }
const client = await identified(['client.example'])
const known = shows(await testIdentity(['client.example']))
const trusting = [...authority, '--verify-hostname', 'localhost']
const profile = { theirs: 'SRTP_AES128_CM_HMAC_SHA1_80', ours: 'SRTP_AES128_CM_SHA1_80' }
const srtp = hasSrtp() ? [profile.ours] : []
const psk = {
  key: Buffer.from('a key of thirty-two bytes, shared'),
  plain: [
    ['the suite of both ends’ choice', '+PSK', '', /^TLS_PSK_WITH_/],
    ['CoAP’s suite', '+PSK', ':-CIPHER-ALL:+AES-128-CCM-8', 'TLS_PSK_WITH_AES_128_CCM_8'],
  ] as const,
  forward: ['forward secrecy', '+ECDHE-PSK', '', /^TLS_ECDHE_PSK_WITH_/] as const,
}

/** After a handshake that has failed, the first retransmission keeps it busy for ever. */
const beforeItSpins = 800

// Its client, our server.

t.test('gnutls-cli and our server know each other', { skip }, async t => {
  const label = ['--keymatexport', 'EXTRACTOR-dtls_srtp', '--keymatexportsize', '60']
  const more = ['--alpn', 'coap', '--srtp-profiles', profile.theirs, ...label]
  for (const [what, mtu] of [
    ['as it comes', []],
    ['in small pieces', ['--mtu', '500']],
  ] as const) {
    await t.test(what, async t => {
      const us = await listening(t, { ...own, mtu: 300, alpn: ['coap'], srtp })
      const program = cli(t, us.port, ...trusting, ...known, ...more, ...mtu)
      const port = await spoken(us, program)
      await program.said(/- Status: The certificate is trusted\./)
      t.match(program.output, /- Description: \(DTLS1\.2/)
      t.match(program.output, /- Application protocol: coap/)
      if (hasSrtp()) t.match(program.output, new RegExp(`SRTP profile: ${profile.theirs}`))
      t.match(await us.socket.querySecurity(at(port)), {
        secured: true,
        encrypted: true,
        protocol: 'dtls',
        version: 'DTLSv1.2',
        resumed: false,
        alpn: 'coap',
        srtp: srtp[0],
        peer: { names: ['client.example'] },
      })
      t.same(us.heard.all[0]?.from.peer?.names, ['client.example'])
      const [, theirs] = await program.said(/Key material: ([0-9a-f]+)/)
      const ours = us.socket.exportKeyingMaterial(at(port), 60, 'EXTRACTOR-dtls_srtp')
      t.equal(ours.toString('hex'), theirs)

      await sent(us.socket, 'unasked\n', port)
      await program.said(/unasked\n/)
      const gone = event(us.socket, 'peerClose')
      t.same(await program.finish(), { code: 0, signal: null })
      t.match(await gone, [at(port)])
    })
  }
})

t.test('gnutls-cli hears our end', { skip }, async t => {
  const us = await listening(t, own)
  const program = cli(t, us.port, ...trusting, ...known)
  us.socket.closePeer(at(await spoken(us, program)))
  await program.said(/Peer has closed the GnuTLS connection/)
  t.same(us.socket.peers(), [])
})

t.test('gnutls-cli has to prove who it is', { skip }, async t => {
  t.jobs = 4
  for (const [what, credentials] of [
    ['no certificate', []],
    ['another authority', shows(await strangerIdentity(['client.example']))],
    ['expired', shows(await expiredIdentity(['client.example']))],
  ] as const) {
    t.test(what, { buffered: true }, async t => {
      const us = await listening(t, own)
      const program = cli(t, us.port, ...trusting, ...credentials)
      program.type('may I?\n')
      t.not((await program.ended()).code, 0)
      t.match(program.output, /alert.*received|Fatal error/i)
      t.same([us.secured, us.heard.all, us.socket.peers()], [[], [], []])
      t.equal(us.socket.stats.handshakesFailed, 1)
    })
  }
})

t.test('gnutls-cli refuses our server where it should', { skip }, async t => {
  t.jobs = 4
  const past = await expiredIdentity()
  const other = ['--x509cafile', save({ ca: (await strangerIdentity()).ca }).ca]
  for (const [what, security, args, reason] of [
    ['another authority', own, other, /issuer is unknown/],
    [
      'another name',
      own,
      [...authority, '--verify-hostname', 'other.example'],
      /name in the certificate does not match/,
    ],
    ['expired', { ...own, cert: past.cert, key: past.key }, trusting, /expired/],
  ] as const) {
    t.test(what, { buffered: true }, async t => {
      const us = await listening(t, security)
      const program = cli(t, us.port, ...known, ...args)
      t.not((await program.ended()).code, 0)
      t.match(program.output, reason)
      await until('its alert has come', () => us.socket.stats.handshakesFailed === 1)
      t.same([us.secured, us.socket.peers()], [[], []])
    })
  }
})

t.test('gnutls-cli resumes with our server', { skip }, async t => {
  const us = await listening(t, own)
  const program = cli(t, us.port, '--resume', ...trusting, ...known)
  await program.said(/Resume Handshake was completed/)
  await spoken(us, program)
  t.match(program.output, /\*\*\* This is a resumed session/)
  const peer = { names: ['client.example'] }
  t.match(us.secured, [{ info: { resumed: false, peer } }, { info: { resumed: true, peer } }])
})

t.test('gnutls-cli by pre-shared key', { skip }, async t => {
  t.jobs = 4
  const security = { psk: { sensor: psk.key }, handshakeTimeout: 1500 }
  // gnutls-cli 3.7 crashes when it is to show an ECDHE_PSK session of DTLS, also of its own server.
  for (const [what, exchanges, ciphers, cipher] of psk.plain) {
    const keyed = (identity: string, key: Buffer) => [
      ...['--priority', `NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:${exchanges}${ciphers}`],
      ...['--pskusername', identity, '--pskkey', key.toString('hex')],
    ]
    t.test(`the right key: ${what}`, { buffered: true }, async t => {
      const us = await listening(t, security)
      const program = cli(t, us.port, ...keyed('sensor', psk.key))
      const port = await spoken(us, program)
      t.match(await us.socket.querySecurity(at(port)), {
        cipher,
        resumed: false,
        peer: { names: [], pskIdentity: 'sensor' },
      })
    })
    t.test(`the wrong key: ${what}`, { buffered: true }, async t => {
      const us = await listening(t, security)
      cli(t, us.port, ...keyed('sensor', Buffer.alloc(32, 7)))
      // A Finished that cannot be read looks like silence.
      await until('the handshake is given up', () => us.socket.stats.handshakesFailed === 1)
      t.same([us.secured, us.heard.all, us.socket.peers()], [[], [], []])
    })
    t.test(`an unknown identity: ${what}`, { buffered: true }, async t => {
      const us = await listening(t, security)
      const program = cli(t, us.port, ...keyed('stranger', psk.key))
      t.not((await program.ended()).code, 0)
      t.same([us.secured, us.heard.all, us.socket.peers()], [[], [], []])
    })
  }
})

// Its server, our client.

t.test('gnutls-serv and our client know each other', { skip }, async t => {
  const more = ['--alpn', 'coap', '--srtp-profiles', profile.theirs, '--mtu', '500']
  const { port, program } = await gnutlsServ(t, '--udp', ...shows(server), ...asks(), ...more)
  const socket = speaking(t, { ...client, mtu: 300, alpn: ['coap'], srtp })
  const heard = inbox(socket)
  t.match(await socket.secure(at(port)), {
    secured: true,
    encrypted: true,
    protocol: 'dtls',
    version: 'DTLSv1.2',
    resumed: false,
    alpn: 'coap',
    srtp: srtp[0],
    peer: { targetName: '127.0.0.1', pin: server.pin },
  })
  await sent(socket, 'across the makers\n', port)
  t.match(await heard.next(), { text: 'across the makers\n', from: { peer: { pin: server.pin } } })
  await program.said(/- Status: The certificate is trusted\./)
})

t.test('gnutls-serv: close_notify frees it, and the next message resumes', { skip }, async t => {
  const { port, program } = await gnutlsServ(t, '--udp', ...shows(server), ...asks())
  const socket = speaking(t, client)
  const heard = inbox(socket)
  t.equal((await socket.secure(at(port))).resumed, false)
  socket.closePeer(at(port))
  await program.said(/^EOF$/m)
  await sent(socket, 'once more\n', port)
  t.equal((await heard.next()).text, 'once more\n')
  t.match(await socket.querySecurity(at(port)), { resumed: true, peer: { pin: server.pin } })
})

t.test('gnutls-serv that is not who it should be hears nothing of us', { skip }, async t => {
  t.jobs = 4
  const mismatch = 'ERR_PEER_TARGET_NAME_MISMATCH'
  for (const [what, identity, code] of [
    ['another name', await testIdentity(['db.example.com']), mismatch],
    ['another authority', await strangerIdentity(), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['the past', await expiredIdentity(), 'CERT_HAS_EXPIRED'],
  ] as const) {
    t.test(`a certificate of ${what}`, { buffered: true }, async t => {
      const { port, program } = await gnutlsServ(
        t,
        '--udp',
        ...shows(identity),
        '--disable-client-cert',
      )
      const socket = speaking(t, { ca })
      t.match(await failure(sent(socket, 'nothing of this\n', port)), { code })
      await closed(socket)
      t.notMatch(program.output, 'nothing of this')
    })
  }
})

t.test('gnutls-serv refuses us without a certificate, in silence', { skip }, async t => {
  const { port } = await gnutlsServ(t, '--udp', ...shows(server), ...asks())
  const socket = speaking(t, { ca, handshakeTimeout: beforeItSpins })
  const error = await failure(sent(socket, 'nothing of this\n', port))
  t.match(error, { code: 'ERR_TLS_HANDSHAKE_TIMEOUT', message: /refuses our certificate/ })
})

t.test('gnutls-serv by pre-shared key', { skip }, async t => {
  t.jobs = 4
  const { keys } = save({ keys: `sensor:${psk.key.toString('hex')}\n` })
  for (const [what, exchanges, ciphers, cipher] of [psk.forward, ...psk.plain]) {
    const priority = `NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:${exchanges}${ciphers}`
    const args = ['--udp', '--priority', priority, '--pskpasswd', keys]
    t.test(`the right key: ${what}`, { buffered: true }, async t => {
      const { port } = await gnutlsServ(t, ...args)
      const socket = speaking(t, { psk: { identity: 'sensor', key: psk.key } })
      const heard = inbox(socket)
      t.match(await socket.secure(at(port)), { cipher, peer: { pskIdentity: 'sensor' } })
      await sent(socket, 'by key alone\n', port)
      t.equal((await heard.next()).text, 'by key alone\n')
    })
    t.test(`the wrong key: ${what}`, { buffered: true }, async t => {
      const { port, program } = await gnutlsServ(t, ...args)
      const wrong = { identity: 'sensor', key: Buffer.alloc(32, 7) }
      const socket = speaking(t, { psk: wrong, handshakeTimeout: beforeItSpins })
      const error = await failure(sent(socket, 'nothing of this\n', port))
      t.match(error, { message: /pre-shared key/ })
      t.notMatch(program.output, 'nothing of this')
    })
  }
})

function cli(t: Parameters<typeof gnutlsCli>[0], port: number, ...args: string[]): Program {
  return gnutlsCli(t, port, '--udp', ...args)
}

function asks(): string[] {
  return ['--require-client-cert', '--verify-client-cert', ...authority]
}

function shows({ cert, key }: Pick<Identity, 'cert' | 'key'>): string[] {
  const paths = save({ cert, key })
  return ['--x509certfile', paths.cert, '--x509keyfile', paths.key]
}

/** The client says something and hears it again; gives the port that it speaks from. */
async function spoken(us: Listening, program: Program): Promise<number> {
  // What is typed during the handshake is lost.
  await program.said(/Simple Client Mode/)
  program.type('across the makers\n')
  await program.said(/across the makers\n/)
  const { from } = await us.heard.next()
  return from.port
}
