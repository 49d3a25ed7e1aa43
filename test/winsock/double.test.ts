/**
 * The double itself: it refuses what the documentation of the six functions refuses, with the same
 * errors, and completes calls as Windows does. All other tests of this folder rely on that.
 */
import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import * as kernel32 from '../../lib/kernel32.js'
import { loadKoffi } from '../../lib/koffi.js'
import * as winsock from '../../lib/winsock.js'
import { type Call, noDouble, winsockDouble } from '../support/winsock-double.js'

const WSAEFAULT = 10014
const WSAEINVAL = 10022
const WSAENOTSOCK = 10038
const WSAEMSGSIZE = 10040
const WSAEOPNOTSUPP = 10045
const WSAEAFNOSUPPORT = 10047
const WSAEISCONN = 10056
const WSAENOTCONN = 10057
const WSA_OPERATION_ABORTED = 995
const WSA_IO_INCOMPLETE = 996

const options = { skip: noDouble }
const encryption = settings(88, { protocol: 1, flags: 1 })

t.beforeEach(() => {
  if (!noDouble) winsockDouble().reset()
})

t.test('security: before bind, once per socket', options, async t => {
  const socket = open(t)
  t.equal(setSecurity(socket, encryption), 0)
  t.equal(setSecurity(socket, encryption), WSAEINVAL, 'a second time')
  const exclusive = winsock.getsockopt(socket, winsock.SOL_SOCKET, winsock.SO_EXCLUSIVEADDRUSE)
  t.not(exclusive, 0, 'it sets SO_EXCLUSIVEADDRUSE')
  t.equal(setSecurity(bound(t), encryption), WSAEINVAL, 'after bind')
  t.equal(setSecurity(connected(t), encryption), WSAEISCONN, 'after connect')
  t.equal(setSecurity(connected(t, 2), encryption), WSAEISCONN, 'a connected datagram socket')
  t.equal(setSecurity(0x7fff0, encryption), WSAENOTSOCK)
  t.equal(setSecurity(open(t), null), 0, 'NULL: the default policy')
})

t.test('a socket that gets the number of a closed one is another', options, async t => {
  const [first, second] = [open(t), open(t)]
  setSecurity(first, encryption)
  winsock.closesocket(first)
  const again = open(t)
  t.equal(again, first, 'Windows gives the number again')
  t.equal(setSecurity(again, encryption), 0)
  winsock.closesocket(second)
  t.equal(winsock.closesocket(second), WSAENOTSOCK)
  const closes = winsockDouble()
    .takeLog()
    .filter(call => call.function === 'closesocket')
  t.match(
    closes,
    [
      { socket: first, result: 0 },
      { socket: second, error: WSAENOTSOCK },
    ],
    'closing a secured one and closing twice are in the log',
  )
})

t.test('security: what the structure may say', options, async t => {
  const cases: [string, Buffer, number][] = [
    ['7 bytes', Buffer.alloc(7), WSAEMSGSIZE],
    ['8 bytes', settings(8, { flags: 3 }), 0],
    ['an unknown flag', settings(8, { flags: 4 }), WSAEINVAL],
    ['an unknown protocol', settings(88, { protocol: 3 }), WSAEINVAL],
    ['IPsec settings that say DEFAULT', settings(88, { protocol: 0 }), WSAEINVAL],
    ['IPsec settings that say IPSEC2', settings(88, { protocol: 2 }), WSAEINVAL],
    ['IPsec without its settings', settings(8, { protocol: 1 }), WSAEMSGSIZE],
    ['87 bytes', settings(87, { protocol: 1 }), WSAEMSGSIZE],
    ['an unknown IPsec flag', settings(88, { protocol: 1, ipsecFlags: 16 }), WSAEINVAL],
    ['all IPsec flags', settings(88, { protocol: 1, ipsecFlags: 15 }), 0],
    ['half a character', settings(90, { protocol: 1, userName: 3 }), WSAEINVAL],
    ['strings that fit', settings(88, { protocol: 1, userName: 4 }), 0],
    ['strings that do not', settings(88, { protocol: 1, userName: 6 }), WSAEMSGSIZE],
  ]
  for (const [what, bytes, error] of cases) t.equal(setSecurity(open(t), bytes), error, what)
})

t.test('names: before connect; of a datagram peer, whose address is there', options, async t => {
  const here = [127, 0, 0, 1] as const
  t.equal(setName(open(t), name('host/x')), 0)
  t.equal(setName(open(t), name('host/x', { length: 14 })), WSAEMSGSIZE, 'longer than the buffer')
  t.equal(setName(open(t), name('host/x').subarray(0, 143)), WSAEMSGSIZE)
  t.equal(setName(open(t), name('')), WSAEINVAL)
  t.equal(setName(open(t), null), WSAEFAULT)
  t.equal(setName(connected(t), name('host/x')), WSAEISCONN)
  t.equal(setName(open(t, 2), name('host/x', { address: here, port: 7 })), 0)
  t.equal(setName(open(t, 2), name('host/x', { address: [0, 0, 0, 0], port: 0 })), WSAEINVAL)
  t.equal(setName(open(t, 2, 23), name('host/x', { address: here })), WSAEAFNOSUPPORT)
  t.equal(setName(connected(t, 2), name('host/x', { address: here, port: 7 })), WSAEISCONN)

  const remove = (socket: number, address: Buffer | null) =>
    withMemory(address, (at, length) =>
      winsock.WSADeleteSocketPeerTargetName(socket, at, length, 0),
    )
  t.equal(remove(open(t, 2), sockaddr(here, 7)), 0)
  t.equal(remove(open(t, 2), null), WSAEFAULT)
  t.equal(remove(open(t, 2), sockaddr(here, 7).subarray(0, 15)), WSAEMSGSIZE)
  t.equal(remove(open(t), sockaddr(here, 7)), WSAEINVAL, 'not for streams')
})

t.test('queries: of what is connected, into what is large enough', options, async t => {
  const socket = connected(t, 1, encryption)
  const query = (of: number, template: Buffer | null, room = 24) => {
    const info = Buffer.alloc(room)
    return { ...winsock.querySocketSecurityNow(of, template, info), flags: info.readUInt32LE(4) }
  }
  t.match(query(socket, null), { error: 0, length: 24, flags: 3 })
  t.match(query(socket, null, 23), { error: WSAEMSGSIZE, length: 24 })
  t.match(query(socket, template(152, 2), 64), { error: 0, length: 64 })
  t.match(query(socket, template(152, 2)), { error: WSAEMSGSIZE, length: 64 })
  t.match(query(socket, template(144, 2), 64), { error: WSAEMSGSIZE })
  t.match(query(connected(t), null), { error: 0, flags: 0 }, 'without security it is not secured')
  t.match(query(open(t), null), { error: WSAENOTCONN })
  t.match(query(open(t, 2), null), { error: WSAEMSGSIZE }, 'a datagram peer is to be named')
  t.match(query(open(t, 2), template(144)), { error: WSAEAFNOSUPPORT }, 'by its address')
  const peer = template(144)
  sockaddr([127, 0, 0, 1], 7).copy(peer, 8)
  t.match(query(open(t, 2), peer), { error: 0 })
})

t.test('what could not be set secures nothing', options, async t => {
  for (const mode of ['fail', 'pretend'] as const) {
    winsockDouble().behave('WSASetSocketSecurity', { mode })
    const info = Buffer.alloc(24)
    winsock.querySocketSecurityNow(connected(t, 1, encryption), null, info)
    t.equal(info.readUInt32LE(4), 0, mode)
  }
})

t.test('tokens are handles that are to be closed', options, async t => {
  const double = winsockDouble()
  const before = double.openTokens()
  const asking = template(152, 2)
  asking.writeUInt32LE(8, 136)
  const info = Buffer.alloc(64)
  winsock.querySocketSecurityNow(connected(t, 1, encryption), asking, info)
  t.equal(double.openTokens(), before + 2)
  t.ok(kernel32.closeHandle(Number(info.readBigUInt64LE(8))))
  t.ok(kernel32.closeHandle(Number(info.readBigUInt64LE(16))))
  t.equal(double.openTokens(), before)

  double.answers({ userToken: false })
  winsock.querySocketSecurityNow(connected(t, 1, encryption), asking, info)
  t.equal(info.readBigUInt64LE(8), 0n)
  t.ok(kernel32.closeHandle(Number(info.readBigUInt64LE(16))))
})

t.test('handles are counted', options, async t => {
  const double = winsockDouble()
  const before = double.handles()
  t.ok(before > 0)
  const event = kernel32.createEvent()
  t.equal(double.handles(), before + 1)
  kernel32.closeHandle(event)
  t.equal(double.handles(), before)
})

t.test('impersonation changes this thread, where it is allowed', options, async t => {
  const double = winsockDouble()
  const socket = connected(t, 1, encryption)
  t.equal(winsock.WSAImpersonateSocketPeer(socket, null), WSAEOPNOTSUPP, 'Node has overlapped ones')
  t.equal(double.impersonating(), false)
  double.behave('WSAImpersonateSocketPeer', { mode: 'succeed' })
  t.equal(winsock.WSAImpersonateSocketPeer(socket, null), 0)
  t.equal(double.impersonating(), true)
  t.equal(winsock.WSARevertImpersonation(), 0)
  t.equal(double.impersonating(), false)
  const blocking = connected(t, 1, encryption, 0)
  double.reset()
  t.equal(winsock.WSAImpersonateSocketPeer(blocking, null), 0, 'documented')
  winsock.WSARevertImpersonation()
  t.equal(winsock.WSAImpersonateSocketPeer(open(t, 2), null), WSAEFAULT)
})

t.test('what libuv does is seen, of streams and of datagrams', options, async t => {
  const double = winsockDouble()
  double.watch()
  const server = createServer(socket => socket.resume()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = connect(port, '127.0.0.1')
  client.end('four')
  await once(client, 'close')
  server.close()
  const sender = createSocket('udp4')
  await new Promise(done => sender.send('seven77', port, '127.0.0.1', done))
  sender.close()
  const seen = double.takeLog().filter(call => call.phase === 'libuv')
  t.match(
    seen.map(call => `${call.function} ${call.port} ${call.length} ${call.secured}`),
    [
      'bind 0 0 false',
      'listen 0 0 false',
      'bind 0 0 false',
      `ConnectEx ${port} 0 false`,
      `WSASend ${port} 4 false`,
      'bind 0 0 false',
      `WSASendTo ${port} 7 false`,
    ],
  )
})

t.test('a call that pends completes later, with every error', options, async t => {
  const double = winsockDouble()
  double.behave('WSASetSocketSecurity', { mode: 'pend', delay: 20 })
  const pending = start(open(t))
  t.equal(pending.returned, winsock.WSA_IO_PENDING)
  t.equal(pending.result(), WSA_IO_INCOMPLETE)
  t.equal(double.outstanding(), 1)
  t.equal(await pending.completed(), 0)
  t.equal(double.outstanding(), 0)
  t.match(double.takeLog(), [
    {
      phase: 'call',
      error: 997,
      overlapped: true,
      lowBit: false,
      bytes: encryption.toString('hex'),
    },
    { phase: 'complete', error: 0, inputChanged: false },
  ] as Partial<Call>[])

  const errors = [WSAEFAULT, WSAEINVAL, WSAENOTSOCK, WSAEMSGSIZE]
  for (const error of [...errors, 10013, 10054, WSAEISCONN, WSAENOTCONN, 10060, 10061, 10065]) {
    double.behave('WSASetSocketSecurity', { mode: 'pendFail', error })
    t.equal(await start(open(t)).completed(), error)
  }
})

t.test('a call that never completes can be cancelled, unless it is stuck', options, async t => {
  const double = winsockDouble()
  double.behave('WSASetSocketSecurity', { mode: 'never', times: 2 })
  const cancelled = start(open(t))
  t.equal(kernel32.cancelIo(cancelled.socket, cancelled.overlapped), 0)
  t.equal(await cancelled.completed(), WSA_OPERATION_ABORTED)
  const closed = start(open(t))
  winsock.closesocket(closed.socket)
  await closed.signalled()
  t.equal(double.outstanding(), 0, 'closing the socket ends it too')

  double.behave('WSASetSocketSecurity', { mode: 'stuck' })
  const stuck = start(open(t))
  t.equal(kernel32.cancelIo(stuck.socket, stuck.overlapped), 0)
  t.equal(stuck.result(), WSA_IO_INCOMPLETE)
  double.release()
  t.equal(await stuck.completed(), 0)
})

t.test('a completion that Node did not ask for ends it, as on Windows', options, async t => {
  for (const lowBit of ['0', '1']) {
    const program = fileURLToPath(new URL('programs/adopted-pending.ts', import.meta.url))
    const child = spawn(process.execPath, [program, lowBit], { stdio: 'ignore' })
    const [code] = await once(child, 'exit')
    if (lowBit === '1') t.equal(code, 0, 'with the lowest bit of hEvent set it is not told')
    else t.not(code, 0, 'libuv aborts')
  }
})

/** Starts WSASetSocketSecurity with an OVERLAPPED whose event can be waited for. */
function start(socket: number) {
  const overlapped = kernel32.allocateMemory(32)
  const event = kernel32.createEvent()
  const memory = kernel32.allocateMemory(encryption.length)
  const fields = Buffer.alloc(32)
  fields.writeBigUInt64LE(BigInt(event), 24)
  kernel32.writeMemory(overlapped, fields)
  kernel32.writeMemory(memory, encryption)
  const returned = winsock.WSASetSocketSecurity(socket, memory, encryption.length, overlapped)
  const result = () => winsock.WSAGetOverlappedResult(socket, overlapped).error
  const signalled = async () => {
    const deadline = Date.now() + 5000
    while (!kernel32.isSignalled(event)) {
      if (Date.now() > deadline) throw new Error('it did not complete')
      await new Promise(setImmediate)
    }
  }
  const completed = () => signalled().then(result)
  return { socket, overlapped, returned, result, signalled, completed }
}

function setSecurity(socket: number, bytes: Buffer | null): number {
  return withMemory(bytes, (at, length) => winsock.WSASetSocketSecurity(socket, at, length, 0))
}

function setName(socket: number, bytes: Buffer | null): number {
  return withMemory(bytes, (at, length) =>
    winsock.WSASetSocketPeerTargetName(socket, at, length, 0),
  )
}

function withMemory(bytes: Buffer | null, call: (at: number, length: number) => number): number {
  if (!bytes) return call(0, 0)
  const at = kernel32.allocateMemory(bytes.length)
  kernel32.writeMemory(at, bytes)
  const result = call(at, bytes.length)
  kernel32.freeMemory(at)
  return result
}

function open(t: Test, type = 1, family = 2, flags = 0x81): number {
  const socket = winsock.WSASocketW(family, type, type === 1 ? 6 : 17, flags)
  t.teardown(() => winsock.closesocket(socket))
  return socket
}

function bound(t: Test, type = 1): number {
  const socket = open(t, type)
  t.equal(winsock.bind(socket, sockaddr([127, 0, 0, 1], 0)), 0)
  return socket
}

/** To a listener of its own. */
function connected(t: Test, type = 1, security?: Buffer, flags = 0x81): number {
  const library = loadKoffi().load('ws2_32.dll')
  const connect = library.func('int __stdcall connect(intptr_t s, const void *address, int length)')
  const listen = library.func('int __stdcall listen(intptr_t s, int backlog)')
  const listener = bound(t, type)
  if (type === 1) listen(listener, 1)
  const address = Buffer.alloc(16)
  winsock.getsockname(listener, address)
  const socket = open(t, type, 2, flags)
  if (security) setSecurity(socket, security)
  t.equal(connect(socket, address, 16), 0)
  return socket
}

function settings(size: number, { protocol = 0, flags = 0, ipsecFlags = 0, userName = 0 }): Buffer {
  const bytes = Buffer.alloc(Math.max(size, 88))
  bytes.writeUInt32LE(protocol, 0)
  bytes.writeUInt32LE(flags, 4)
  bytes.writeUInt32LE(ipsecFlags, 8)
  bytes.writeUInt32LE(userName, 72)
  return bytes.subarray(0, size)
}

function name(
  text: string,
  { length = text.length * 2, address = [0, 0, 0, 0] as readonly number[], port = 0 } = {},
): Buffer {
  const bytes = Buffer.alloc(144 + Math.max(0, text.length * 2 - 4))
  bytes.writeUInt32LE(2, 0)
  sockaddr(address, port).copy(bytes, 8)
  bytes.writeUInt32LE(length, 136)
  bytes.write(text, 140, 'utf16le')
  return bytes
}

function template(size: number, protocol = 0): Buffer {
  const bytes = Buffer.alloc(size)
  bytes.writeUInt32LE(protocol, 0)
  return bytes
}

function sockaddr(address: readonly number[], port: number): Buffer {
  return Buffer.from([2, 0, port >> 8, port & 255, ...address, 0, 0, 0, 0, 0, 0, 0, 0])
}
