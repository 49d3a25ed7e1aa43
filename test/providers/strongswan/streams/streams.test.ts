/**
 * The streams of the strongSwan provider, without a daemon: in which order a socket is made, secured
 * and taken apart again, and what becomes of it when its security is lost.
 */
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import * as linux from '../../../../lib/linux-sockets.js'
import { SocketSecurityError } from '../../../../src/model/errors.js'
import { parseSettings } from '../../../../src/model/settings.js'
import { parseTargetName } from '../../../../src/model/target-name.js'
import type { NativeRequest } from '../../../../src/providers/provider.js'
import { boundAddress } from '../../../../src/providers/strongswan/host/linux-socket.js'
import { readTcpTable } from '../../../../src/providers/strongswan/host/tcp-table.js'
import { strongswanProviderOf } from '../../../../src/providers/strongswan/strongswan-provider.js'
import { failure } from '../../../support/events.js'
import { until } from '../../../support/until.js'
import { association, FakeDaemon } from '../fake-daemon.js'

const own = Object.values(networkInterfaces())
  .flatMap(each => each ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address
const skip = process.platform !== 'linux' ? 'for Linux' : !own && 'an address that is not loopback'
/** Nobody is ever asked there: nothing connects. */
const elsewhere = '192.0.2.1'
const peer = { transport: 'tcp', remoteAddress: elsewhere, remotePort: 5000 } as const

const settings = parseSettings({
  protocol: 'ipsec',
  psk: [
    { identity: 'a.example', key: Buffer.from('a key') },
    { 'b.example': Buffer.from('the key of b'), 'c.example': Buffer.from('the key of c') },
  ],
})

function request(changes: Partial<NativeRequest> = {}): NativeRequest {
  return {
    address: elsewhere,
    port: 5000,
    family: 4,
    localAddress: own,
    settings,
    targetName: parseTargetName('b.example'),
    targetNameSet: true,
    signal: new AbortController().signal,
    ...changes,
  }
}

const providerOf = (daemon: FakeDaemon) => strongswanProviderOf(() => daemon)
const open = (daemon: FakeDaemon, changes: Partial<NativeRequest> = {}) =>
  providerOf(daemon).openSocket(request(changes))
const descriptors = () => readdirSync('/proc/self/fd').length

t.test(
  'bound, guarded, known, negotiated; and taken apart the other way round',
  { skip },
  async t => {
    const daemon = new FakeDaemon()
    const socket = await open(daemon)
    t.same(daemon.record, [`guarded tcp ${own}`, 'flow', 'initiated'])
    const { address, port } = boundAddress(socket.descriptor)
    t.equal(address, own)
    t.match(daemon.plans, [{ ...peer, localAddress: own, localPort: port }])
    t.match(daemon.plans[0]?.connection, { remoteId: 'fqdn:b.example' })
    t.match(await socket.query(), {
      ...{ secured: true, encrypted: true, protocol: 'ipsec' },
      peer: { targetName: 'b.example', pskIdentity: 'b.example' },
    })
    socket.discard()
    await setImmediate()
    t.same(daemon.record.slice(3), ['flow removed', `unguarded tcp ${own}`])
    t.equal(daemon.watchers.size, 0)
  },
)

t.test('a step that fails leaves nothing behind', { skip }, async t => {
  // What is loaded at the first use stays open.
  ;(await open(new FakeDaemon())).discard()
  for (const step of ['guard', 'flow', 'initiate']) {
    const daemon = new FakeDaemon()
    daemon.before = now => {
      if (now === step) throw new SocketSecurityError('EPROTO', `no ${step}`)
    }
    const before = descriptors()
    t.match(await failure(open(daemon)), { code: 'EPROTO', message: `no ${step}` })
    t.equal(descriptors(), before, `${step}: the socket is closed`)
    const made = daemon.record.filter(each => /^(guarded|flow$)/.test(each)).length
    t.equal(daemon.record.filter(each => /^(un|flow removed)/.test(each)).length, made, step)
    t.equal(daemon.watchers.size, 0)
  }
})

t.test('nobody waits any more: it ends at the next step', { skip }, async t => {
  for (const step of ['guard', 'flow', 'initiate']) {
    const abort = new AbortController()
    const daemon = new FakeDaemon()
    daemon.before = now => {
      if (now === step) abort.abort()
    }
    t.match(await failure(open(daemon, { signal: abort.signal })), { code: 'ECANCELED' }, step)
    const made = daemon.record.filter(each => /^(guarded|flow$)/.test(each)).length
    t.equal(daemon.record.filter(each => /^(un|flow removed)/.test(each)).length, made, step)
  }
})

t.test('what is not secured, or by somebody else', { skip }, async t => {
  const daemon = new FakeDaemon()
  const socket = await open(daemon)
  daemon.found = null
  t.match(await socket.query(), { secured: false, encrypted: false })
  for (const name of ['c.example', '*', 'b.example.org']) {
    daemon.found = association(name)
    t.match(await failure(socket.query()), { code: 'ERR_PEER_TARGET_NAME_MISMATCH' }, name)
  }
  socket.discard()
})

/** A prepared socket, and what it says of a loss. */
async function watched(daemon: FakeDaemon) {
  const socket = await open(daemon)
  const errors: Error[] = []
  socket.onLost?.(error => errors.push(error))
  const resets = () => linux.getsockopt(socket.descriptor, linux.SOL_SOCKET, linux.SO_LINGER) === 1
  const { port } = boundAddress(socket.descriptor)
  const flow = { ...peer, localAddress: own ?? '', localPort: port }
  return { socket, errors, resets, flow }
}
const gone = new SocketSecurityError('EPROTO', 'the policies are gone')

t.test('the policies are gone: reset, and told once', { skip }, async t => {
  for (const what of ['interrupted', 'lost'] as const) {
    const daemon = new FakeDaemon()
    const { socket, errors, resets, flow } = await watched(daemon)
    daemon.tell(each => each.changed?.({ flow, remoteId: 'b.example', up: false }))
    t.same(errors, [], 'the guard holds')
    t.equal(resets(), false)
    daemon.tell(each => each[what]?.(gone))
    t.same(errors, [gone])
    t.equal(resets(), true)
    daemon.tell(each => each.lost?.(new Error('again')))
    daemon.tell(each => each.restored?.())
    t.same(errors, [gone])
    t.equal(await failure(socket.query()), gone)
    socket.discard()
  }
})

t.test('asked before a write: nothing goes out without a guard', { skip }, async t => {
  const daemon = new FakeDaemon()
  const { socket, errors, resets } = await watched(daemon)
  t.equal(socket.holds?.(), true)
  daemon.guarded = false
  t.equal(socket.holds?.(), false)
  t.match(errors, [{ code: 'ERR_PROVIDER_UNAVAILABLE' }])
  t.equal(resets(), true)
  daemon.guarded = true
  t.equal(socket.holds?.(), false, 'never again')
  t.equal(errors.length, 1)
  socket.discard()
})

t.test(
  'the daemon was killed, and is back: it knows the keys, or gets new ones',
  { skip },
  async t => {
    const daemon = new FakeDaemon()
    const { socket, errors } = await watched(daemon)
    daemon.tell(each => each.restored?.())
    await setImmediate()
    t.equal(daemon.record.length, 3)
    daemon.found = null
    daemon.tell(each => each.restored?.())
    await until('it negotiates anew', () => daemon.record.length > 3)
    t.same(daemon.record.slice(3), ['initiated'])
    t.same(errors, [])
    daemon.found = association('c.example')
    daemon.tell(each => each.restored?.())
    await until('somebody else has come meanwhile', () => errors.length > 0)
    t.match(errors, [{ code: 'ERR_PEER_TARGET_NAME_MISMATCH' }])
    socket.discard()
  },
)

t.test('somebody else in its place', { skip }, async t => {
  const daemon = new FakeDaemon()
  const { socket, errors, resets, flow } = await watched(daemon)
  daemon.tell(each => each.changed?.({ flow, remoteId: 'b.example', up: true }))
  t.same(errors, [])
  daemon.tell(each => each.changed?.({ flow, remoteId: 'c.example', up: true }))
  t.match(errors, [{ code: 'ERR_PEER_TARGET_NAME_MISMATCH' }])
  t.equal(resets(), true)
  socket.discard()
})

t.test('the host itself is refused, before anything is asked for', { skip }, async t => {
  const daemon = new FakeDaemon()
  for (const address of [own ?? '', '127.0.0.1', '127.1.2.3'])
    t.match(await failure(open(daemon, { address, localAddress: undefined })), {
      code: 'EOPNOTSUPP',
    })
  const six = { address: '::1', family: 6, localAddress: undefined } as const
  t.match(await failure(open(daemon, six)), { code: 'EOPNOTSUPP' })
  t.same(daemon.record, [])
})

t.test("an address of somebody else's, or a port", { skip }, async t => {
  const daemon = new FakeDaemon()
  t.match(await failure(open(daemon, { localAddress: '192.0.2.9' })), {
    ...{ code: 'EADDRNOTAVAIL', syscall: 'bind', address: '192.0.2.9' },
  })
  const socket = await open(daemon)
  const { port } = boundAddress(socket.descriptor)
  t.match(await failure(open(daemon, { localPort: port })), {
    message: `bind EADDRINUSE ${own}:${port}`,
  })
  socket.discard()
})

// Servers.

const listen = (daemon: FakeDaemon, changes: object = {}) =>
  providerOf(daemon).openListener({
    ...{ family: 4, address: '0.0.0.0', port: 0, ipv6Only: false, settings },
    signal: new AbortController().signal,
    ...changes,
  } as never)

/** What net.Server has accepted, as far as it is asked. */
const accepted = (changes: object = {}) =>
  ({
    ...{ localAddress: own, remoteAddress: elsewhere, remotePort: 40000 },
    _handle: {},
    ...changes,
  }) as never

t.test('a server: bound, guarded, and open to those who are trusted', { skip }, async t => {
  const daemon = new FakeDaemon()
  const socket = await listen(daemon)
  t.equal(socket.bound, true)
  t.same(daemon.record, ['guarded tcp any', 'listener'])
  const { port } = boundAddress(socket.descriptor)
  t.match(daemon.listeners, [{ transport: 'tcp', localAddress: '0.0.0.0', localPort: port }])
  const connection = providerOf(daemon).accepted(accepted({ localPort: port }), settings)
  t.match(await connection.query(), { secured: true, peer: { pskIdentity: 'b.example' } })
  socket.discard()
  socket.closing?.()
  await setImmediate()
  t.equal(daemon.record.length, 2, 'its connections need it')
  connection.closing?.()
  await until('it is taken away', () => daemon.record.length === 4)
  t.same(daemon.record.slice(2), ['listener removed', 'unguarded tcp any'])
  t.equal(daemon.watchers.size, 0)
})

t.test('a server that listens again has its port again at once', { skip }, async t => {
  const daemon = new FakeDaemon()
  const socket = await listen(daemon)
  const { port } = boundAddress(socket.descriptor)
  const connection = providerOf(daemon).accepted(accepted({ localPort: port }), settings)
  socket.discard()
  const second = await listen(daemon, { port })
  t.equal(daemon.listeners.length, 1)
  connection.closing?.()
  second.discard()
  await until('it is taken away', () => daemon.record.length === 4)
})

t.test(
  'a server with connections in TIME_WAIT keeps its guard, and no callers',
  { skip },
  async t => {
    const daemon = new FakeDaemon()
    const socket = await listen(daemon)
    const { port } = boundAddress(socket.descriptor)
    const connection = providerOf(daemon).accepted(accepted({ localPort: port }), settings)
    socket.discard()
    await closedFirst(port)
    connection.closing?.()
    await until('nobody can call it', () => daemon.record.length > 2)
    t.same(daemon.record.slice(2), ['listener removed'])
    const next = await listen(daemon, { port })
    t.same(daemon.record.slice(3), ['guarded tcp any', 'listener'], 'the next one begins anew')
    next.discard()
  },
)

/** A connection to that port of the machine itself; the port's end closes first, and so waits. */
async function closedFirst(port: number): Promise<void> {
  const server = createServer(socket => socket.end())
  await once(server.listen(port, '127.0.0.1'), 'listening')
  const client = connect(port, '127.0.0.1').resume()
  await once(client, 'close')
  server.close()
  await until('it waits', async () => (await readTcpTable()).port(port) === 'time wait')
}

t.test('a server whose port is taken, or that has nothing to show', { skip }, async t => {
  const daemon = new FakeDaemon()
  const socket = await listen(daemon, { address: own })
  t.same(daemon.record, [`guarded tcp ${own}`, 'listener'])
  const { port } = boundAddress(socket.descriptor)
  // Both would have to share it, and neither listens yet.
  linux.setsockopt(socket.descriptor, linux.SOL_SOCKET, linux.SO_REUSEADDR, 0)
  t.match(await failure(listen(daemon, { address: own, port })), {
    ...{ code: 'EADDRINUSE', syscall: 'bind' },
    errno: -98,
  })
  t.match(await failure(listen(daemon, { address: '127.0.0.1' })), { code: 'EOPNOTSUPP' })
  const nothing = parseSettings({ protocol: 'ipsec' })
  t.match(await failure(listen(daemon, { settings: nothing })), { code: 'ENOCREDENTIAL' })
  socket.discard()
})

t.test(
  'what is accepted from nobody that is trusted, or by no server of ours',
  { skip },
  async t => {
    const daemon = new FakeDaemon()
    const socket = await listen(daemon)
    const { port: localPort } = boundAddress(socket.descriptor)
    const provider = providerOf(daemon)
    const query = (changes: object) =>
      failure(
        (async () => provider.accepted(accepted({ localPort, ...changes }), settings).query())(),
      )
    t.match(await query({ remoteAddress: own }), { code: 'EOPNOTSUPP' })
    t.match(await query({ localAddress: '127.0.0.1', remoteAddress: '127.0.0.1' }), {
      code: 'EOPNOTSUPP',
    })
    t.match(await query({ localPort: localPort === 1 ? 2 : 1 }), { code: 'EPROTO' })
    const others = parseSettings({ protocol: 'ipsec', psk: { 'z.example': Buffer.from('z') } })
    t.throws(() => provider.accepted(accepted({ localPort }), others), { code: 'EPROTO' })
    t.match(await query({ remoteAddress: undefined }), { code: 'ENOTCONN' })
    daemon.found = association('%any')
    t.match(await query({}), { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
    daemon.found = null
    const connection = provider.accepted(accepted({ localPort }), settings)
    t.match(await connection.query(), { secured: false })
    socket.discard()
  },
)

t.test('two servers of one port, each with a trust of its own', { skip }, async t => {
  const daemon = new FakeDaemon()
  const ofZ = { psk: { 'z.example': Buffer.from('z') }, ipsec: { localIdentity: 'a.example' } }
  const others = parseSettings({ protocol: 'ipsec', ...ofZ })
  const six = await listen(daemon, { family: 6, address: '::', ipv6Only: true })
  const { port } = boundAddress(six.descriptor)
  const four = await listen(daemon, { port, settings: others })
  const provider = providerOf(daemon)
  const at = (localAddress: string, remoteAddress: string) =>
    accepted({ localPort: port, localAddress, remoteAddress })
  const [ipv4, ipv6] = [at(own ?? '', elsewhere), at('2001:db8::1', '2001:db8::2')]
  t.throws(() => provider.accepted(ipv4, settings), { code: 'EPROTO' })
  t.throws(() => provider.accepted(ipv6, others), { code: 'EPROTO' })
  t.ok(provider.accepted(ipv4, others))
  t.ok(provider.accepted(ipv6, settings))
  six.discard()
  four.discard()
})

t.test(
  'another peer, as trusted as the first, gets no hold of its connection',
  { skip },
  async t => {
    const daemon = new FakeDaemon()
    const socket = await listen(daemon)
    const { port: localPort } = boundAddress(socket.descriptor)
    const flow = { ...peer, remotePort: 40000, localAddress: own ?? '', localPort }
    for (const how of ['event', 'query']) {
      daemon.found = association('b.example')
      const connection = providerOf(daemon).accepted(
        accepted({
          localPort,
          localAddress: `::ffff:${own}`,
          remoteAddress: `::ffff:${elsewhere}`,
        }),
        settings,
      )
      const errors: Error[] = []
      connection.onLost?.(error => errors.push(error))
      await connection.query()
      daemon.tell(each => each.changed?.({ flow, remoteId: 'b.example', up: true }))
      t.same(errors, [])
      daemon.found = association('c.example')
      if (how === 'event')
        daemon.tell(each => each.changed?.({ flow, remoteId: 'c.example', up: true }))
      else await failure(connection.query())
      t.match(errors, [{ code: 'ERR_PEER_TARGET_NAME_MISMATCH' }], how)
      t.match(await failure(connection.query()), { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
    }
    socket.discard()
  },
)
