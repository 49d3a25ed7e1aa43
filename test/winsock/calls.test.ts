/** The verbs on a SOCKET: what reaches Windows, what comes of every way in which it can answer. */
import net from 'node:net'
import t, { type Test } from 'tap'
import { closeHandle } from '../../lib/kernel32.js'
import { loadKoffi } from '../../lib/koffi.js'
import { parseSettings } from '../../src/model/settings.js'
import {
  deletePeerTargetName,
  querySecurity,
  setPeerTargetName,
  setSecurity,
} from '../../src/providers/winsock/calls.js'
import { type CallTarget, pendingCalls } from '../../src/providers/winsock/overlapped.js'
import {
  bindSocket,
  createSocket,
  type WindowsSocket,
} from '../../src/providers/winsock/sockets.js'
import { sockaddr } from '../../src/providers/winsock/structures/sockaddr.js'
import { event } from '../support/events.js'
import { until } from '../support/until.js'
import { noDouble, type WinsockFunction, winsockDouble } from '../support/winsock-double.js'
import { target } from './receiving.js'

const skip = noDouble
const settings = parseSettings({ protocol: 'ipsec' })
const peer = { family: 4, address: '127.0.0.1', port: 4711 } as const
const TOKEN_QUERY = 8

function prepared(t: Test, kind: 'stream' | 'datagram' = 'datagram', family: 4 | 6 = 4) {
  const double = winsockDouble()
  double.reset()
  const socket = createSocket(kind, family)
  t.teardown(async () => {
    double.release({ cancelled: true })
    await untilIdle()
    socket.discard()
  })
  return { double, socket }
}

/** Nothing is pending, and all memory is freed. */
function untilIdle(): Promise<void> {
  return until('every call has completed', () => pendingCalls().pending === 0)
}

/** Each verb, as far as it can be called on a new datagram socket. */
const verbs: Record<string, readonly [WinsockFunction, (target: CallTarget) => Promise<unknown>]> =
  {
    setSecurity: ['WSASetSocketSecurity', target => setSecurity(target, settings)],
    setPeerTargetName: [
      'WSASetSocketPeerTargetName',
      target => setPeerTargetName(target, peer, 'a'),
    ],
    deletePeerTargetName: [
      'WSADeleteSocketPeerTargetName',
      target => deletePeerTargetName(target, peer),
    ],
    querySecurity: ['WSAQuerySocketSecurity', target => querySecurity(target, { peer })],
  }

for (const [verb, [name, call]] of Object.entries(verbs)) {
  t.test(`${verb}: done at once, or later`, { skip }, async t => {
    for (const mode of ['succeed', 'pend'] as const) {
      const { double, socket } = prepared(t)
      double.behave(name, { mode, delay: 10 })
      const completion = call(target(socket))
      t.equal(pendingCalls().pending, mode === 'pend' ? 1 : 0)
      await completion
      t.same(pendingCalls(), { pending: 0, abandoned: 0 })
      const log = double.takeLog().filter(each => each.function === name)
      t.same(
        log.map(each => each.phase),
        mode === 'pend' ? ['call', 'complete'] : ['call'],
      )
      for (const each of log) {
        if (each.phase === 'call')
          t.match(each, { overlapped: true, routine: false, lowBit: false, socketOverlapped: true })
        else
          t.notOk(each.inputChanged, 'the memory is there, and unchanged, until it has completed')
      }
    }
  })

  t.test(`${verb}: on a socket that Node has adopted, libuv hears nothing`, { skip }, async t => {
    const { double, socket } = prepared(t)
    double.behave(name, { mode: 'pend', delay: 5 })
    await call(target(socket, { adopted: true }))
    t.match(double.takeLog()[0], { function: name, lowBit: true })
  })

  t.test(`${verb}: fails at once, or later`, { skip }, async t => {
    for (const mode of ['fail', 'pendFail'] as const) {
      const { double, socket } = prepared(t)
      double.behave(name, { mode, error: 10054, delay: 5 })
      await t.rejects(call(target(socket, { peer: '127.0.0.1:4711' })), {
        name: 'SocketSecurityError',
        code: 'ECONNRESET',
        winsock: 'WSAECONNRESET',
        errno: 10054,
        syscall: name,
        peer: '127.0.0.1:4711',
      })
      t.same(pendingCalls(), { pending: 0, abandoned: 0 })
    }
  })

  t.test(`${verb}: never answers`, { skip }, async t => {
    const { double, socket } = prepared(t)
    double.behave(name, { mode: 'never' })
    await t.rejects(call(target(socket, { timeout: 30 })), { code: 'ETIMEDOUT', syscall: name })
    await untilIdle()
    t.equal(double.outstanding(), 0)
    const log = double.takeLog().map(each => `${each.phase} ${each.function}`)
    t.same(log, [`call ${name}`, 'call CancelIoEx', `complete ${name}`])
  })

  t.test(`${verb}: never answers, and cannot be cancelled: its memory stays`, { skip }, async t => {
    const { double, socket } = prepared(t)
    double.behave(name, { mode: 'stuck' })
    await t.rejects(call(target(socket, { timeout: 30 })), { code: 'ETIMEDOUT', syscall: name })
    t.same(pendingCalls(), { pending: 1, abandoned: 1 })
    double.takeLog()
    double.release()
    await untilIdle()
    const [complete] = double.takeLog()
    t.match(complete, { phase: 'complete', function: name, inputChanged: false })
  })

  t.test(`${verb}: a closed socket is ENOTSOCK, and is not called on`, { skip }, async t => {
    const { double, socket } = prepared(t)
    socket.discard()
    await t.rejects(call(target(socket)), {
      code: 'ENOTSOCK',
      winsock: 'WSAENOTSOCK',
      syscall: name,
    })
    t.notOk(double.takeLog().some(each => each.function === name))
  })

  t.test(`${verb}: the socket is closed meanwhile`, { skip }, async t => {
    const { double, socket } = prepared(t)
    await setSecurity(target(socket), settings).catch(() => {})
    if (verb === 'setSecurity') return
    double.behave(name, { mode: 'never' })
    const completion = call(target(socket))
    socket.discard()
    await t.rejects(completion, { code: 'ENOTSOCK', syscall: name })
    await untilIdle()
    t.notOk(
      double.takeLog().some(each => each.function === 'CancelIoEx'),
      'its number is not used any more',
    )
  })
}

t.test('security comes first, and once', { skip }, async t => {
  const { socket } = prepared(t, 'stream')
  await setSecurity(target(socket), settings)
  await t.rejects(setSecurity(target(socket), settings), { code: 'EINVAL', winsock: 'WSAEINVAL' })
  const bound = createSocket('stream', 4)
  t.teardown(() => bound.discard())
  bindSocket(bound, { address: '127.0.0.1' })
  await t.rejects(setSecurity(target(bound), settings), { code: 'EINVAL' })
})

t.test('the settings as they reach Windows', { skip }, async t => {
  const { double, socket } = prepared(t)
  await setSecurity(target(socket), settings)
  const plain = `0100000001000000${'00'.repeat(80)}`
  t.match(double.takeLog()[0], { bytes: plain, length: 88 })

  const other = createSocket('datagram', 4)
  t.teardown(() => other.discard())
  const all = parseSettings({
    protocol: 'ipsec',
    guaranteeEncryption: false,
    ipsec: {
      mainModePolicy: '0a1b2c3d-4e5f-6789-abcd-ef0123456789',
      quickModePolicy: '{FEDCBA98-7654-3210-FEDC-BA9876543210}',
      userName: 'u',
      domainName: 'd',
      password: 'p',
      skipFilterInstantiation: true,
      optionalPeerNameVerification: true,
      allowFirstInboundPacketUnencrypted: true,
      rawPeerName: true,
    },
  })
  await setSecurity(target(other), all)
  const expected = [
    '01000000',
    '00000000',
    '0f000000',
    '3d2c1b0a5f4e8967abcdef0123456789',
    '98badcfe54761032fedcba9876543210',
    '00'.repeat(28),
    '020000000200000002000000',
    '750064007000',
    '00000000',
  ].join('')
  t.match(double.takeLog()[0], { bytes: expected, length: 94 })
})

t.test(
  'a password is there until the call has completed, and nowhere after it',
  { skip },
  async t => {
    for (const mode of ['succeed', 'fail', 'pend', 'pendFail', 'never'] as const) {
      const { double, socket } = prepared(t)
      double.behave('WSASetSocketSecurity', { mode, delay: 20 })
      const handed: Buffer[] = []
      const { ipsec } = parseSettings({
        protocol: 'ipsec',
        ipsec: { userName: 'u', password: 'correct horse' },
      })
      const watched = () => {
        const password = ipsec?.password?.() as Buffer
        handed.push(password)
        return password
      }
      const withPassword = {
        ...settings,
        ipsec: { ...ipsec, password: watched },
      } as typeof settings
      const completion = setSecurity(target(socket, { timeout: 60 }), withPassword).catch(() => {})
      t.equal(handed.length, 1)
      t.ok(
        handed[0]?.every(byte => byte === 0),
        `${mode}: ours is wiped as soon as Windows has it`,
      )
      await completion
      await untilIdle()
      const hex = Buffer.from('correct horse', 'utf16le').toString('hex')
      for (const each of double.takeLog()) {
        if (each.function !== 'WSASetSocketSecurity') continue
        if (each.phase === 'call') t.match(each.bytes, hex, `${mode}: Windows has it`)
        else t.notOk(each.inputChanged, `${mode}: until it has done with it`)
      }
    }
  },
)

t.test('names as they reach Windows', { skip }, async t => {
  const { double, socket } = prepared(t)
  await setPeerTargetName(target(socket), peer, 'host/ü')
  await deletePeerTargetName(target(socket), peer)
  const address = `02001267${'7f000001'}${'00'.repeat(120)}`
  const [set, remove] = double.takeLog()
  const name = Buffer.from('host/ü', 'utf16le').toString('hex')
  t.match(set, { bytes: `0200000000000000${address}0c000000${name}00000000`, length: 156 })
  t.match(remove, { bytes: address, length: 128 })
})

t.test('an IPv4 peer of an IPv6 socket is a mapped one', { skip }, async t => {
  const { double, socket } = prepared(t, 'datagram', 6)
  await setPeerTargetName(target(socket), { ...peer, family: 6 }, 'a')
  const address = `17001267${'00'.repeat(14)}ffff7f000001${'00'.repeat(104)}`
  t.match(double.takeLog()[0]?.bytes, address)
})

t.test('no name for nobody', { skip }, async t => {
  const { socket } = prepared(t)
  const nobody = { family: 4, address: '0.0.0.0', port: 0 } as const
  await t.rejects(setPeerTargetName(target(socket), nobody, 'a'), {
    code: 'EINVAL',
    winsock: 'WSAEINVAL',
  })
  const wrong = { family: 4, address: 'db.example.com', port: 1 } as const
  await t.rejects(setPeerTargetName(target(socket), wrong, 'a'), { code: 'EINVAL' })
})

t.test('what a query answers', { skip }, async t => {
  for (const mode of ['succeed', 'pend'] as const) {
    const { double, socket } = prepared(t)
    await setSecurity(target(socket), settings)
    double.behave('WSAQuerySocketSecurity', { mode, delay: 5 })
    double.answers({ flags: 3, mmSaId: 1n << 40n, qmSaId: 7n, negotiationWinerr: 13801 })
    t.same(await querySecurity(target(socket), { peer }), {
      flags: 3,
      secured: true,
      encrypted: true,
      impersonated: false,
      userToken: 0,
      machineToken: 0,
      ipsec2: {
        mmSaId: 1n << 40n,
        qmSaId: 7n,
        negotiationError: 13801,
        saLookupContext: '00000000-0000-0000-0000-000000000000',
      },
    })
    double.answers({ flags: 0 })
    t.match(await querySecurity(target(socket), { peer }), { secured: false, encrypted: false })
  }
})

t.test('tokens are the caller’s, and those that come too late are closed', { skip }, async t => {
  const { double, socket } = prepared(t)
  await setSecurity(target(socket), settings)
  const open = double.openTokens()
  const asked = { peer, tokenAccess: TOKEN_QUERY }
  const { userToken, machineToken } = await querySecurity(target(socket), asked)
  t.equal(double.openTokens(), open + 2)
  t.ok(closeHandle(userToken))
  t.ok(closeHandle(machineToken))
  t.equal(double.openTokens(), open)

  double.behave('WSAQuerySocketSecurity', { mode: 'stuck' })
  const given = double.givenTokens()
  await t.rejects(querySecurity(target(socket, { timeout: 20 }), asked), { code: 'ETIMEDOUT' })
  double.release()
  await untilIdle()
  t.equal(double.givenTokens(), given + 2, 'it has answered after all')
  t.equal(double.openTokens(), open)
})

t.test('a Windows that does not know IPSEC2 is asked the plain question', { skip }, async t => {
  for (const [mode, error] of [
    ['fail', 10014],
    ['fail', 10022],
    ['fail', 10040],
    ['fail', 10045],
    ['fail', 10047],
    ['pendFail', 10022],
  ] as const) {
    const { double, socket } = prepared(t)
    await setSecurity(target(socket), settings)
    double.takeLog()
    double.behave('WSAQuerySocketSecurity', { mode, error, times: 1 })
    const info = await querySecurity(target(socket), { peer })
    t.match(info, { secured: true, encrypted: true })
    t.notOk('ipsec2' in info)
    const [first, second] = double.takeLog().filter(each => each.phase === 'call')
    t.match(first, { bytes: /^02000000/, length: 152 })
    t.match(second, { bytes: /^01000000/, length: 144 })
  }
})

t.test('of a stream the plain question has no template', { skip }, async t => {
  const { double, socket } = prepared(t, 'stream')
  await setSecurity(target(socket), settings)
  await t.rejects(querySecurity(target(socket)), { code: 'ENOTCONN' }, 'before it is connected')
  await connected(t, socket)
  double.takeLog()
  double.behave('WSAQuerySocketSecurity', { mode: 'fail', error: 10022 })
  await t.rejects(querySecurity(target(socket)), { code: 'EINVAL' })
  await t.rejects(querySecurity(target(socket), { tokenAccess: TOKEN_QUERY }), { code: 'EINVAL' })
  const lengths = double.takeLog().map(each => each.length)
  t.same(lengths, [152, 0, 152, 144], 'but where tokens are asked for')

  double.behave('WSAQuerySocketSecurity', { mode: 'fail', error: 10022, times: 1 })
  t.match(await querySecurity(target(socket)), { flags: 3, secured: true, encrypted: true })
})

/** To a listener in this process, without Node. */
async function connected(t: Test, { descriptor }: WindowsSocket): Promise<void> {
  const listener = net.createServer(raw => raw.on('error', () => {}))
  t.teardown(() => listener.close())
  listener.listen(0, '127.0.0.1')
  await event(listener, 'listening')
  const { port } = listener.address() as net.AddressInfo
  const address = sockaddr({ family: 4, address: '127.0.0.1', port }, 'connect')
  const connect = loadKoffi()
    .load('ws2_32.dll')
    .func('int __stdcall connect(intptr_t socket, const void *address, int length)')
  t.equal(connect(descriptor, address, address.length), 0)
}
