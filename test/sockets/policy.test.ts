/** The administrator's policy, from its file to the sockets. */
// Before anything of src, which looks at the variable when it is loaded.
import '../support/policy-place.js'

import { rmSync } from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import t, { type Test } from 'tap'
import { setPolicy } from '../../src/policy/current-policy.js'
import { settingsFor } from '../../src/policy/settings-source.js'
import { checkPolicy, reloadPolicy } from '../../src/policy.js'
import { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'
import { SecureServer } from '../../src/sockets/secure-server.js'
import { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event, failure } from '../support/events.js'
import { selfSignedIdentity, testIdentity } from '../support/identities.js'
import { policyFile, policyFolder, writePolicy, writeSecret } from '../support/policy-place.js'

const { cert, key, ca } = await testIdentity(['localhost', '127.0.0.1', 'db.example.com'])
writeSecret('host.crt', cert)
writeSecret('host.key', key)
writeSecret('ca.crt', ca)
const identity = { cert: 'host.crt', key: 'host.key', ca: ['ca.crt'] }

/** From now on, until the end of the test. */
function policy(t: Test, contents: object | string): void {
  writePolicy(contents)
  reloadPolicy()
  t.teardown(() => {
    writePolicy({})
    reloadPolicy()
  })
}

// The first look at it, with which no test may have interfered.
t.test(
  'a broken policy fails every socket with all of its faults, and a correct one ends that',
  async t => {
    writePolicy('{"streams": {"minVersion": 7}, "clear": [{}]}')
    const clear = await clearServer(t)
    const refused = {
      name: 'SocketSecurityError',
      code: 'ERR_POLICY_INVALID',
      message:
        /policy\.json cannot be used.*\n {2}\$\.streams\.minVersion is 7: .*\n {2}\$\.clear\[0\] /,
    }
    const socket = new SecureSocket({ security: { ca } })
    t.match(await failure(connected(socket, clear.port)), refused)
    t.match(await failure(new SecureSocket().setSecurity({ ca })), refused)
    for (const security of [undefined, null, { cert, key }]) {
      const server = new SecureServer({ security })
      server.listen(0, '127.0.0.1')
      t.match(await failure(event(server, 'listening')), refused)
      t.notOk(server.listening)
    }
    const datagrams = new SecureDgramSocket({ type: 'udp4', security: { ca } })
    t.match(
      await new Promise(resolve => datagrams.send('x', clear.port, '127.0.0.1', resolve)),
      refused,
    )
    datagrams.bind(0, '127.0.0.1')
    t.match(await failure(event(datagrams, 'listening')), refused)
    datagrams.close()
    t.equal(clear.contacts(), 0, 'nothing went anywhere')

    t.throws(() => reloadPolicy(), refused, 'it is still broken')
    rmSync(policyFile)
    t.throws(() => reloadPolicy(), { message: /\$ leads to .*policy\.json, which does not exist/ })
    writePolicy({ identity })
    reloadPolicy()
    const server = await listening(t)
    const client = new SecureSocket()
    await connected(client, server.port)
    t.match(await client.querySecurity(), { secured: true, peer: { targetName: '127.0.0.1' } })
    client.destroy()
  },
)

t.test(
  'sockets that ask for nothing have the identity, the trust and the settings of the policy',
  async t => {
    policy(t, { identity, streams: { maxVersion: 'TLSv1.2' }, servers: { requestCert: true } })
    const { port, server } = await listening(t)
    const accepted = event(server, 'connection')
    const client = new SecureSocket()
    await connected(client, port)
    const [peer] = (await accepted) as [SecureSocket]
    t.match(await client.querySecurity(), { version: 'TLSv1.2' })
    t.match((await peer.querySecurity()).peer?.names, ['localhost'])
    client.destroy()

    const [one, other] = [await bound(t), await bound(t)]
    const heard = event(other.socket, 'message')
    one.socket.send('hello', other.port, '127.0.0.1')
    const [message, rinfo] = (await heard) as [Buffer, { peer: { names: string[] } }]
    t.equal(String(message), 'hello')
    t.ok(rinfo.peer.names.includes('localhost'), 'both have proved who they are')
  },
)

t.test('pre-shared keys come from files, in hexadecimal', async t => {
  writeSecret('sensor.key', `${'5a'.repeat(32)}\n`)
  policy(t, {
    identity: {
      cert: 'host.crt',
      key: 'host.key',
      psk: { identity: 'sensor', key: 'sensor.key' },
      acceptedPsk: { sensor: 'sensor.key' },
    },
    applicationMaySet: ['cert'],
  })
  const psk = { identity: 'sensor', key: Buffer.alloc(32, 0x5a) }
  t.match(settingsFor(null, 'stream', 'server').current(), {
    ownPsk: psk,
    acceptedPsk: { sensor: psk.key },
  })
})

t.test(
  'names by address, host and port, for those who begin and for those who are spoken to',
  async t => {
    policy(t, {
      identity,
      targetNames: [
        { host: '*.internal', targetName: 'host/nobody.example.com' },
        { host: 'localhost', targetName: 'host/db.example.com' },
        { address: '127.0.0.2', transport: 'udp', targetName: 'host/nobody.example.com' },
      ],
    })
    const { port } = await listening(t)
    const client = new SecureSocket()
    await connected(client, port, 'localhost')
    t.match((await client.querySecurity()).peer, { targetName: 'host/db.example.com' })
    client.destroy()
    const lookup = (_host: string, options: { all?: boolean }, done: Lookup) =>
      options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)
    const other = new SecureSocket()
    t.match(await failure(connected(other, port, 'db.internal', { lookup })), {
      code: 'ERR_PEER_TARGET_NAME_MISMATCH',
    })

    const named = new SecureSocket({ peerTargetName: 'host/other.example.com' })
    t.match(await failure(connected(named, port, 'localhost')), {
      code: 'ERR_POLICY_FORBIDS',
      message: /^peerTargetName .*names another/,
    })
    const free = new SecureSocket({ peerTargetName: 'localhost' })
    await connected(free, port, '127.0.0.1')
    t.match(
      (await free.querySecurity()).peer,
      { targetName: 'localhost' },
      'of this the policy says nothing',
    )
    free.destroy()

    const [here, there] = [await bound(t), await bound(t, '127.0.0.2')]
    const refused = { code: 'ERR_PEER_TARGET_NAME_MISMATCH' }
    t.match(await sent(here.socket, there.port, '127.0.0.2'), refused)
    const stranger = await bound(t, '127.0.0.2')
    const heard: string[] = []
    here.socket.on('message', message => heard.push(String(message)))
    const outcome = await sent(stranger.socket, here.port, '127.0.0.1')
    t.ok(outcome, 'who begins proves its name as well')
    t.strictSame(heard, [])
    t.match(
      await failure(
        here.socket.setPeerTargetName({ address: '127.0.0.2', targetName: 'localhost' }),
      ),
      { code: 'ERR_POLICY_FORBIDS' },
    )
  },
)

t.test(
  'what the policy has against a message is told to who sends it, after a look-up too',
  async t => {
    policy(t, { identity })
    const [from, to] = [await bound(t), await bound(t)]
    setPolicy(new Error('not now'))
    for (const host of ['127.0.0.1', 'localhost'])
      t.match(await sent(from.socket, to.port, host), { message: 'not now' }, host)
  },
)

t.test('what an application may not bring along, whatever way it tries', async t => {
  const mine = await selfSignedIdentity(['localhost'])
  policy(t, { identity })
  const forbidden = (security: object, key: string) =>
    t.throws(() => settingsFor(security, 'stream', 'client'), {
      code: 'ERR_POLICY_FORBIDS',
      message: new RegExp(`^security\\.${key} .*policy\\.json$`),
    })
  forbidden({ cert: mine.cert, key: mine.key }, 'cert')
  forbidden({ pfx: Buffer.from('x') }, 'pfx')
  forbidden({ psk: { identity: 'x', key: Buffer.alloc(16) } }, 'psk')
  forbidden({ ca: mine.cert }, 'ca')
  forbidden({ rejectUnauthorized: false }, 'rejectUnauthorized')
  forbidden({ ciphers: 'ALL:@SECLEVEL=0' }, 'ciphers')
  forbidden({ guaranteeEncryption: false, allowInsecure: true }, 'guaranteeEncryption')
  forbidden({ keylog: true }, 'keylog')
  forbidden({ keylog: '/tmp/keys' }, 'keylog')
  policy(t, { protocol: 'ipsec' })
  const ipsec = (switches: object) =>
    settingsFor({ protocol: 'ipsec', ipsec: switches }, 'stream', 'client')
  t.throws(() => ipsec({ optionalPeerNameVerification: true }), { code: 'ERR_POLICY_FORBIDS' })
  t.match(ipsec({ rawPeerName: true }).current(), { ipsec: { rawPeerName: true } })
  t.throws(() => settingsFor({ protocol: 'tls' }, 'stream', 'client'), {
    code: 'ERR_POLICY_FORBIDS',
  })
  policy(t, { identity })
  t.throws(() => settingsFor({ requestCert: false }, 'datagram'), { code: 'ERR_POLICY_FORBIDS' })
  t.throws(() => settingsFor({ minVersion: 'SSLv3' } as never, 'stream', 'client'), {
    code: 'EINVAL',
  })
  t.ok(settingsFor({ requestCert: false, alpn: ['h2'], maxVersion: 'TLSv1.3' }, 'stream', 'client'))

  const { port } = await listening(t)
  const pinned = new SecureSocket({ peerTargetName: mine.pin })
  t.match(await failure(connected(pinned, port)), {
    code: 'ERR_POLICY_FORBIDS',
    message: /^peerTargetName .*a pinned key needs no authority/,
  })

  policy(t, { identity, applicationMaySet: ['cert', 'key', 'peerTargetName'] })
  const own = settingsFor({ cert: mine.cert, key: mine.key }, 'stream', 'client').current()
  t.equal(own.cert, mine.cert)
  t.match(String(own.ca), ca, 'the rest is still the policy’s')
  policy(t, { streams: { minVersion: 'TLSv1.3' } })
  t.throws(() => settingsFor({ maxVersion: 'TLSv1.2' }, 'stream', 'client'), {
    code: 'ERR_POLICY_FORBIDS',
    message: /does not go together with these settings: security\.maxVersion is "TLSv1\.2"/,
  })
})

t.test(
  'one that is read again counts for what is secured next, as a whole or not at all',
  async t => {
    policy(t, { identity })
    const { port, server } = await listening(t)
    const before = new SecureSocket()
    await connected(before, port)
    const source = settingsFor({ alpn: ['x'] }, 'stream', 'client')
    const settings = source.current()
    t.equal(source.current(), settings, 'the same object until something changes')
    t.equal(
      settingsFor({ alpn: ['x'] }, 'stream', 'client'),
      source,
      'shared by those who ask for the same',
    )

    writePolicy({ identity: { ...identity, key: 'none.key' }, streams: { maxVersion: 'TLSv1.2' } })
    t.throws(() => reloadPolicy(), { code: 'ERR_POLICY_INVALID' })
    t.equal(source.current(), settings, 'nothing of a broken one counts')
    t.match(checkPolicy(), { file: policyFile, problems: [{ path: '$.identity.key' }] })
    t.match(checkPolicy(`${policyFolder}/none`), {
      problems: [{ path: '$', message: /does not exist/ }],
    })

    policy(t, { identity, streams: { maxVersion: 'TLSv1.2' } })
    t.match(source.current(), { maxVersion: 'TLSv1.2', alpn: ['x'] })
    const after = new SecureSocket()
    await connected(after, port)
    t.match(await after.querySecurity(), { version: 'TLSv1.2' })
    t.match(await before.querySecurity(), { version: 'TLSv1.3' }, 'what is secured goes on')

    policy(t, { identity, streams: { alpn: undefined, minVersion: 'TLSv1.3' } })
    t.match(source.current(), { minVersion: 'TLSv1.3' })
    policy(t, { identity, streams: { handshakeTimeout: 1 }, applicationMaySet: [] })
    t.throws(() => settingsFor({ handshakeTimeout: 2 }, 'stream', 'server'), {
      code: 'ERR_POLICY_FORBIDS',
    })
    for (const socket of [before, after]) socket.destroy()
    t.ok(server.listening)
  },
)

t.test(
  'a socket that the policy refused in its options takes heart when the policy is another',
  async t => {
    policy(t, { identity, streams: { handshakeTimeout: 5000 } })
    const { port } = await listening(t)
    const client = new SecureSocket({ security: { handshakeTimeout: 4000 } })
    t.match(await failure(connected(client, port)), { code: 'ERR_POLICY_FORBIDS' })
    const server = new SecureServer({ security: { handshakeTimeout: 4000 } })
    server.listen(0, '127.0.0.1')
    t.match(await failure(event(server, 'listening')), { code: 'ERR_POLICY_FORBIDS' })
    policy(t, { identity })
    await connected(client, port)
    t.match(await client.querySecurity(), { secured: true })
    client.destroy()
    server.listen(0, '127.0.0.1')
    await event(server, 'listening')
    server.close()
  },
)

type Lookup = (error: null, ...found: unknown[]) => void

async function connected(
  socket: SecureSocket,
  port: number,
  host = '127.0.0.1',
  more = {},
): Promise<void> {
  socket.connect({ port, host, ...more })
  await event(socket, 'connect')
  socket.on('error', () => {})
}

async function listening(t: Test): Promise<{ server: SecureServer; port: number }> {
  const server = new SecureServer()
  const open = new Set<SecureSocket>()
  server.on('connection', socket => open.add(socket.on('error', () => {})))
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  return { server, port: (server.address() as AddressInfo).port }
}

async function bound(
  t: Test,
  address = '127.0.0.1',
): Promise<{ socket: SecureDgramSocket; port: number }> {
  const socket = new SecureDgramSocket({ type: 'udp4' })
  socket.bind(0, address)
  await event(socket, 'listening')
  t.teardown(() => void socket.close())
  return { socket, port: socket.address().port }
}

function sent(socket: SecureDgramSocket, port: number, address: string): Promise<Error | null> {
  return new Promise(resolve => socket.send('x', port, address, resolve as never))
}

async function clearServer(t: Test): Promise<{ port: number; contacts(): number }> {
  let contacts = 0
  const server: Server = createServer(() => contacts++)
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  t.teardown(() => void server.close())
  return { port: (server.address() as AddressInfo).port, contacts: () => contacts }
}
