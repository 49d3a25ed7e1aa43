// The settings of an endpoint change while it has peers: handshakes that begin from now on use the new
// ones, in both roles, and what is secured goes on as it is.
import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { createIdentity } from '../../../src/identity/identity.js'
import { type DatagramSecuritySettings, parseSettings } from '../../../src/model/settings.js'
import { seededRandom } from '../../model/random.js'
import { strangerAuthority, testAuthority } from '../../support/identities.js'
import { warningsAreHeard, warningsOf } from '../../support/warnings.js'
import { Network } from './network.js'

const hour = 60 * 60 * 1000

async function identity(names: readonly string[], authority = testAuthority()) {
  const { cert, key, ca } = await createIdentity({ names, authority: await authority })
  return { cert, key, ca: ca as string, serial: new X509Certificate(cert).serialNumber }
}

const parsed = (settings: DatagramSecuritySettings) => parseSettings(settings, 'datagram')
const security = ({ cert, key, ca }: { cert: string; key: string; ca: string }) => ({
  cert,
  key,
  ca,
})

t.test(
  'a server shows its new certificate to whoever comes, and goes on with who is there',
  async t => {
    const [before, after] = [await identity(['192.0.2.1']), await identity(['192.0.2.1'])]
    const network = new Network(seededRandom(t))
    const server = network.station(security(before))
    const early = network.station(security(await identity(['192.0.2.2'])), {
      acceptsStrangers: false,
    })
    early.send('one', server)
    t.ok(network.until(() => server.messages.length === 1))

    server.settings = parsed(security(after))
    early.send('two', server)
    const late = network.station(security(await identity(['192.0.2.3'])), {
      acceptsStrangers: false,
    })
    late.send('three', server)
    t.ok(network.until(() => server.messages.length === 3))
    t.equal(early.query(server)?.peer?.certificate?.serialNumber, before.serial)
    t.equal(late.query(server)?.peer?.certificate?.serialNumber, after.serial)
    t.equal(early.associations.length, 1, 'nobody handshakes because of it')

    // When its keys are replaced.
    network.pass(hour)
    early.send('four', server)
    t.ok(network.until(() => server.messages.length === 4))
    t.ok(network.until(() => early.query(server)?.peer?.certificate?.serialNumber === after.serial))
    t.same([...early.errors, ...late.errors, ...server.errors], [])
  },
)

t.test('a client shows its new certificate in its next handshake', async t => {
  const [before, after] = [await identity(['192.0.2.2']), await identity(['192.0.2.2'])]
  const network = new Network(seededRandom(t))
  const server = network.station(security(await identity(['192.0.2.1'])))
  const client = network.station(security(before), { acceptsStrangers: false })
  client.send('one', server)
  t.ok(network.until(() => server.messages.length === 1))
  client.settings = parsed(security(after))
  client.endpoint.closePeer(server.address, server.port)
  client.send('two', server)
  t.ok(network.until(() => server.messages.length === 2))
  t.same(
    server.securedPeers.map(({ info }) => info.peer?.certificate?.serialNumber),
    [before.serial, after.serial],
  )
  t.notOk(client.query(server)?.resumed, 'its old session was of its old certificate')
})

t.test('a session is kept with the settings that it was made by', async t => {
  // The ticket comes when the settings are others already: other trust, under which nobody was authenticated.
  const network = new Network(seededRandom(t))
  const server = network.station(security(await identity(['192.0.2.1'])))
  const trusting = security(await identity(['192.0.2.2']))
  const client = network.station(trusting, { acceptsStrangers: false })
  const { cert: strangers } = await strangerAuthority()
  client.send('one', server)
  t.ok(network.until(() => client.associations.length === 1))
  client.settings = parsed({ ...trusting, ca: strangers })
  // Another handshake has begun by them.
  client.send('elsewhere', { address: '192.0.2.99', port: 5000 })
  t.ok(network.until(() => server.messages.length === 1))
  client.endpoint.closePeer(server.address, server.port)
  const second = client.send('two', server)
  t.ok(network.until(() => second.calls === 1))
  t.match(second.error, { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
  t.equal(server.messages.length, 1)
})

t.test('a handshake that has begun ends as it began', async t => {
  const [before, after] = [await identity(['192.0.2.1']), await identity(['192.0.2.1'])]
  const network = new Network(seededRandom(t))
  const server = network.station(security(before))
  const client = network.station(security(await identity(['192.0.2.2'])), {
    acceptsStrangers: false,
  })
  client.send('one', server)
  t.ok(network.until(() => server.associations.length === 1))
  server.settings = parsed(security(after))
  t.ok(network.until(() => server.messages.length === 1))
  t.equal(client.query(server)?.peer?.certificate?.serialNumber, before.serial)
})

t.test(
  'what a server of DTLS cannot use leaves it with what it has',
  {
    skip: !process.versions.openssl.startsWith('3.'),
  },
  async t => {
    const before = await identity(['192.0.2.1'])
    const edwards = await createIdentity({
      names: ['192.0.2.1'],
      authority: await testAuthority(),
      algorithm: 'ed25519',
    })
    const network = new Network(seededRandom(t))
    const server = network.station(security(before))
    const warned = warningsOf(t, 'SECURE_SOCKET_CREDENTIALS_REFUSED')
    server.settings = parsed({ ...security(before), cert: edwards.cert, key: edwards.key })
    const client = network.station(security(await identity(['192.0.2.2'])), {
      acceptsStrangers: false,
    })
    client.send('one', server)
    t.ok(network.until(() => server.messages.length === 1))
    t.equal(client.query(server)?.peer?.certificate?.serialNumber, before.serial)
    await warningsAreHeard()
    t.match(warned, [{ message: /those before stay in use.*Ed25519/ }])
  },
)

t.test('settings that a new policy makes of another kind serve nobody', async t => {
  const network = new Network(seededRandom(t))
  const server = network.station(security(await identity(['192.0.2.1'])))
  const client = network.station(security(await identity(['192.0.2.2'])), {
    acceptsStrangers: false,
  })
  const good = server.settings
  server.settings = parsed({ protocol: 'ipsec' })
  const refused = client.send('one', server)
  t.ok(network.until(() => refused.calls === 1))
  t.equal(refused.error?.code, 'ERR_TLS_HANDSHAKE_TIMEOUT')
  const own = server.send('two', client)
  t.ok(network.until(() => own.calls === 1))
  t.equal(own.error?.code, 'ERR_POLICY_FORBIDS')
  server.settings = good
  client.send('three', server)
  t.ok(
    network.until(() => server.messages.length === 1),
    'and is taken back',
  )
})
