/**
 * Streams over the strongSwan provider, with real packets between two hosts: what is secured is ESP
 * on the wire from the first packet to the last, and what cannot be secured sends nothing.
 */
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { SecureServer, SecureSocket, type SecurityInfo } from '../../src/index.js'
import { connect, createServer } from '../../src/net.js'
import { closed, event, failure, text } from '../support/events.js'
import { until } from '../support/until.js'
import { StreamsHost, swanctl, sysctl } from './streams-support.js'
import { addressOf, type HostName, needsGuest, securityOf } from './support/hosts.js'
import { inClear, inWords, secured, type Wire, watchWire } from './support/wire.js'

if (!needsGuest(t)) process.exit()

const security = securityOf('a', 'certificate')
const peerTargetName = 'b.example'
const host = addressOf('b', 4)
/** Of b's servers: of both families, of IPv4 with halves that stay open, of pre-shared keys. */
const port = 5000
const ipv4Port = 5001
const pskPort = 5002
let b: StreamsHost
let wire: Wire

t.before(async () => {
  // What has closed is over at once, instead of a minute later.
  for (const host of ['a', 'b'] as const) await sysctl(host, 'net.ipv4.tcp_max_tw_buckets=0')
  b = new StreamsHost('b')
  await event(b, 'ready', 60_000)
  wire = await watchWire(t)
  const options = { allowHalfOpen: true }
  await b.ask('listen', { port, proof: 'certificate' })
  await b.ask('listen', { host, port: ipv4Port, proof: 'certificate', options })
  await b.ask('listen', { port: pskPort, proof: 'psk' })
})
t.teardown(() => b.end())

async function connected(options: object): Promise<SecureSocket> {
  const socket = connect({ security, peerTargetName, host, port, ...options } as never)
  await event(socket as never, 'connect', 30_000)
  return socket as SecureSocket
}

/** Connects, says something, and hears the echo and the end. */
async function talk(options: object): Promise<{ heard: string; info: SecurityInfo }> {
  const socket = await connected(options)
  const info = await socket.secured
  socket.end('hello ')
  const heard = await text(socket)
  await closed(socket)
  return { heard, info }
}

/** Why a connection does not come about. */
function refusal(options: object): Promise<Error & { code?: string }> {
  return failure(connected(options))
}

for (const [what, family, port, accepted] of [
  ['IPv4', 4, ipv4Port, '10.9.0.1'],
  ['IPv4 to a server of both families', 4, 5000, '::ffff:10.9.0.1'],
  ['IPv6', 6, 5000, 'fd09::1'],
] as const) {
  t.test(`${what}: only ESP is on the wire, and both know each other`, async t => {
    wire.forget()
    const arrived = event(b, 'connection', 30_000)
    const { info, heard } = await talk({ host: addressOf('b', family), port })
    t.equal(heard, 'hello bye')
    t.match(info, { secured: true, encrypted: true, protocol: 'ipsec' })
    t.match(info.peer, { targetName: 'b.example', names: ['b.example'] })
    t.match(await arrived, [
      {
        ...{ remoteAddress: accepted, secured: true, encrypted: true },
        ...{ names: ['a.example'], currentPeer: ['a.example'] },
      },
    ])
    const packets = await wire.packets()
    t.same(inWords(inClear(packets, port)), [], 'nothing in clear')
    for (const [from, to] of [
      ['a', 'b'],
      ['b', 'a'],
    ] as const)
      t.ok(secured(packets, addressOf(from, family), addressOf(to, family)).length > 2)
  })
}

t.test('by a pre-shared key', async t => {
  const arrived = event(b, 'connection', 30_000)
  const { heard, info } = await talk({ port: pskPort, security: securityOf('a', 'psk') })
  t.equal(heard, 'hello bye')
  t.match(info.peer, { pskIdentity: 'b.example', names: [] })
  t.match(await arrived, [{ pskIdentity: 'a.example', names: [] }])
})

t.test('a peer with another name: nothing is sent to it', async t => {
  wire.forget()
  const socket = connect({ security, host, port, peerTargetName: 'c.example' } as never)
  const error = await failure(event(socket as never, 'connect', 30_000))
  // The peer has not that name, and says no more.
  t.equal(error.code, 'ERR_PEER_NOT_AUTHENTICATED', error.message)
  await t.rejects((socket as SecureSocket).secured, { code: error.code })
  t.same(inWords(inClear(await wire.packets(), port)), [])
})

t.test('who is not secured is not heard', async t => {
  const server = createServer({ security } as never)
  let connections = 0
  server.on('connection', () => {
    connections += 1
  })
  server.listen(6000)
  await event(server, 'listening', 30_000)
  for (const host of [addressOf('a', 4), addressOf('a', 6)])
    t.same(await b.ask('plain', { host, port: 6000, milliseconds: 1500 }), { outcome: 'silence' })
  t.equal(connections, 0)
  server.close()
})

t.test('each attempt of autoSelectFamily has a socket of its own', async t => {
  const lookup = (_host: string, _options: object, done: (...args: unknown[]) => void) =>
    setImmediate(done, null, [
      { address: addressOf('b', 6), family: 6 },
      { address: addressOf('b', 4), family: 4 },
    ])
  const options = { host: 'b.example', port: ipv4Port, lookup, autoSelectFamily: true }
  const socket = await connected(options)
  t.equal(socket.remoteAddress, addressOf('b', 4))
  t.same(socket.autoSelectFamilyAttemptedAddresses, [
    `${addressOf('b', 6)}:${ipv4Port}`,
    `${addressOf('b', 4)}:${ipv4Port}`,
  ])
  socket.destroy()
  await closed(socket)
})

t.test('a half that stays open', async t => {
  const socket = await connected({ port: ipv4Port, allowHalfOpen: true })
  socket.end('last words ')
  t.equal(await text(socket), 'last words bye')
  await closed(socket)
})

t.test('many connections at once', async t => {
  const begun = performance.now()
  const all = await Promise.all(Array.from({ length: 12 }, () => talk({})))
  t.comment(`${all.length} in ${Math.round(performance.now() - begun)} ms`)
  t.ok(all.every(({ heard }) => heard === 'hello bye'))
})

t.test('destroyed at every stage, it leaves nothing', async t => {
  for (const milliseconds of [0, 5, 20, 50, 100, 150, 200, 300]) {
    const socket = connect({ security, host, port, peerTargetName } as never) as SecureSocket
    socket.on('error', () => {})
    setTimeout(() => socket.destroy(), milliseconds)
    await closed(socket)
  }
  const abort = new AbortController()
  const socket = new SecureSocket({ security, signal: abort.signal } as never)
  socket.connect({ host, port } as never)
  setTimeout(() => abort.abort(), 30)
  t.equal((await failure(event(socket, 'connect', 30_000))).name, 'AbortError')
  const server = new SecureServer({ security } as never)
  server.listen(0)
  server.close()
})

t.test('what cannot be had, in words that say so', async t => {
  const own = addressOf('a', 4)
  const server = new SecureServer({ security } as never)
  server.listen(0, own)
  await event(server, 'listening', 30_000)
  const { port } = server.address() as AddressInfo
  const listening = (...where: [number, string]) =>
    failure(event(new SecureServer({ security } as never).listen(...where), 'listening', 30_000))
  t.match(await listening(port, own), {
    code: 'EADDRINUSE',
    message: `listen EADDRINUSE: address already in use ${own}:${port}`,
  })
  t.match(await listening(0, host), { code: 'EADDRNOTAVAIL' })
  t.match(await listening(0, '127.0.0.1'), { code: 'EOPNOTSUPP' })
  for (const host of [own, addressOf('a', 6), '127.0.0.1', '127.9.9.9', '::1'])
    t.match(await refusal({ host, peerTargetName: undefined }), { code: 'EOPNOTSUPP' }, host)
  t.match(await refusal({ localAddress: addressOf('c', 4) }), { code: 'EADDRNOTAVAIL' })
  server.close()
})

t.test('a server that closes keeps its connections, and their keys', async t => {
  const socket = await connected({})
  await b.ask('close', { port })
  socket.write('still here ')
  t.equal(String((await event(socket, 'data', 30_000))[0]), 'still here ')
  t.match(await socket.querySecurity(), { secured: true })
  socket.end()
  t.equal(await text(socket), 'bye')
  await closed(socket)
})

t.test('at last nothing is left of all that, at either end', async t => {
  await b.ask('closeAll')
  for (const host of ['a', 'b'] as const) t.equal(await left(host), '', host)
})

/** What the daemon of a host has still to do for us, after some time. */
async function left(host: HostName): Promise<string> {
  let what = ''
  const isEmpty = async () => {
    what = `${await swanctl(host, '--list-conns')}${await swanctl(host, '--list-sas')}`
    return what === ''
  }
  return until('nothing', isEmpty, 90_000).then(
    () => '',
    () => what,
  )
}
