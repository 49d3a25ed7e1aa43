/**
 * Whatever is missing or not as it was: the socket is destroyed with an error that says what, and who
 * would have been contacted hears nothing.
 */
import dgram from 'node:dgram'
import type { LookupAddress } from 'node:dns'
import net from 'node:net'
import t, { type Test } from 'tap'
import { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'
import { SecureServer } from '../../src/sockets/secure-server.js'
import { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event, failure } from '../support/events.js'
import { until } from '../support/until.js'
import { noDouble } from '../support/winsock-double.js'
import { runProgram } from './child.js'
import { calls, freshDouble } from './log.js'
import {
  client,
  datagramSocket,
  LOOPBACK,
  plainPeer,
  plainServer,
  security,
  server,
} from './scenes.js'

if (noDouble) t.plan(0, noDouble)
else {
  for (const missing of ['all', 'WSASetSocketSecurity', 'WSADeleteSocketPeerTargetName'])
    t.test(`a library that lacks: ${missing}`, async t => {
      const stream = await plainServer(t)
      const datagrams = await plainPeer(t, stream.port)
      const ended = await runProgram(t, 'without', [String(stream.port)], {
        env: { WINSOCK_DOUBLE_MISSING: missing },
      })
      const unavailable = {
        code: 'ERR_PROVIDER_UNAVAILABLE',
        message: missing === 'all' ? /fwpuclnt\.dll/i : new RegExp(missing),
      }
      t.match(JSON.parse(ended.output.trim().split('\n').at(-1) ?? ''), {
        client: unavailable,
        server: unavailable,
        bound: unavailable,
        sender: unavailable,
      })
      t.equal(ended.code, 0)
      t.same([stream.contacts, datagrams.contacts], [0, 0])
    })

  t.test('a call that pends for ever fails when its time is over', async t => {
    for (const name of [
      'WSASetSocketSecurity',
      'WSASetSocketPeerTargetName',
      'WSAQuerySocketSecurity',
    ] as const)
      await t.test(name, async t => {
        const double = freshDouble(t)
        double.behave(name, { mode: 'never' })
        const peer = await plainServer(t, 'from the server')
        const socket = client(t, peer.port, {}, { ...security, handshakeTimeout: 300 })
        let heard = ''
        socket.on('data', data => {
          heard += data
        })
        socket.write('a secret')
        const error = await socket.failed
        t.match(error, { code: /TIMEOUT|TIMEDOUT/, message: /300 ms|nothing was sent/ })
        t.equal(await failure(socket.secured), error)
        t.same([peer.received, heard], ['', ''])
        if (name !== 'WSAQuerySocketSecurity') t.equal(peer.contacts, 0)
        await until('it is given up', () => double.outstanding() === 0)
      })
  })

  t.test('one that cannot even be cancelled keeps its memory, and nobody waits', async t => {
    const double = freshDouble(t)
    double.behave('WSASetSocketSecurity', { mode: 'stuck' })
    const peer = await plainServer(t)
    const socket = client(t, peer.port, {}, { ...security, handshakeTimeout: 200 })
    t.match(await socket.failed, { code: /TIMEOUT|TIMEDOUT/ })
    t.equal(peer.contacts, 0)
    t.equal(double.outstanding(), 1)
    double.release()
    await until('it has ended', () => double.outstanding() === 0)
    const [completed] = double.takeLog().filter(({ phase }) => phase === 'complete')
    t.equal(completed?.inputChanged, false, 'its memory was still its own')
  })

  t.test('a server’s connection about which the system never answers', async t => {
    const double = freshDouble(t)
    const listening = await server(t, { ...security, handshakeTimeout: 300 })
    double.behave('WSAQuerySocketSecurity', { mode: 'never' })
    const raw = net.connect(listening.port, LOOPBACK)
    raw.on('error', () => {})
    t.teardown(() => raw.destroy())
    await until('it is refused', () => listening.refused.length === 1)
    t.match(listening.refused[0], { code: /TIMEOUT|TIMEDOUT/ })
    if (!raw.closed) await event(raw, 'close')
    t.equal(listening.accepted.length, 0)
  })

  t.test('a Node whose TCP handles open nothing', async t => {
    freshDouble(t)
    const peer = await plainServer(t)
    without(t, tcpHandle(), 'open')
    const socket = client(t, peer.port)
    socket.write('a secret')
    t.match(await socket.failed, { code: 'ERR_PROVIDER_UNAVAILABLE' })
    const listening = new SecureServer({ security })
    const failed = new Promise(resolve => listening.once('error', resolve))
    listening.listen(0, LOOPBACK)
    t.match(await failed, { code: 'ERR_PROVIDER_UNAVAILABLE' })
    t.same([peer.contacts, listening.listening], [0, false])
  })

  t.test('a handle that does not take the socket', async t => {
    freshDouble(t)
    const peer = await plainServer(t)
    const handle = tcpHandle()
    const { open } = handle
    handle.open = () => -4095
    t.teardown(() => {
      handle.open = open
    })
    const socket = client(t, peer.port)
    socket.write('a secret')
    t.match(await socket.failed, { code: 'EPROTO', message: /-4095/ })
    t.equal(peer.contacts, 0)
  })

  t.test('a datagram handle that does not take the socket, or takes none', async t => {
    const double = freshDouble(t)
    const peer = await plainPeer(t)
    const handle = udpHandle()
    const { open } = handle
    t.teardown(() => {
      handle.open = open
    })
    for (const replaced of [() => -4095, undefined]) {
      if (replaced) handle.open = replaced
      else delete handle.open
      const sender = datagramSocket(t)
      const error = await new Promise(resolve => {
        sender.send('a secret', peer.port, LOOPBACK, resolve)
      })
      t.match(error, { code: /^(ERR_PROVIDER_UNAVAILABLE|EPROTO)$/ })
    }
    t.equal(peer.contacts, 0)
    t.equal(double.outstanding(), 0)
  })

  t.test('autoSelectFamily: every attempt is secured, whichever wins', async t => {
    const double = freshDouble(t)
    const peer = await plainServer(t)
    double.watch()
    const socket = new SecureSocket({ security })
    t.teardown(() => socket.destroy())
    socket.connect({
      host: 'both.example',
      port: peer.port,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: 10,
      lookup: answering([
        { address: '::1', family: 6 },
        { address: LOOPBACK, family: 4 },
      ]),
    })
    await event(socket, 'connect')
    const log = double.takeLog()
    const secured = new Set(calls(log, 'WSASetSocketSecurity').map(each => each.socket))
    const named = new Set(calls(log, 'WSASetSocketPeerTargetName').map(each => each.socket))
    t.equal(secured.size, 2)
    t.same(named, secured)
    const [query] = calls(log, 'WSAQuerySocketSecurity')
    t.ok(secured.has(query?.socket as number), 'what connected is one of them')
    t.equal(socket.remoteAddress, LOOPBACK)
    const attempts = log.filter(each => each.function === 'ConnectEx')
    t.same(new Set(attempts.map(each => each.socket)), secured)
    t.ok(attempts.every(each => each.secured && each.port === peer.port))
  })

  t.test('a handle that somebody swaps for another while it connects', async t => {
    const double = freshDouble(t)
    double.behave('WSAQuerySocketSecurity', { mode: 'pend', delay: 100 })
    const peer = await plainServer(t, 'from the server')
    const other = net.connect(peer.port, LOOPBACK)
    t.teardown(() => other.destroy())
    await event(other, 'connect')
    const socket = client(t, peer.port)
    let heard = ''
    socket.on('data', data => {
      heard += data
    })
    socket.write('a secret')
    await until('it is asked about', () => double.outstanding() === 1)
    const own = handleOf(socket)
    Object.assign(socket, { _handle: handleOf(other) })
    t.match(await socket.failed, { code: /^(EPROTO|ENOTSOCK)$/ })
    own.close?.()
    t.same([peer.received, heard], ['', ''])
  })

  t.test('destroyed in every phase: no promise is left, and no call', async t => {
    for (const name of [
      'WSASetSocketSecurity',
      'WSASetSocketPeerTargetName',
      'WSAQuerySocketSecurity',
    ] as const)
      await t.test(name, async t => {
        const double = freshDouble(t)
        double.behave(name, { mode: 'never' })
        const peer = await plainServer(t)
        const socket = client(t, peer.port)
        await until('it pends', () => double.outstanding() === 1)
        const secured = failure(socket.secured)
        socket.destroy()
        if (!socket.closed) await event(socket, 'close')
        t.ok(await secured)
        await until('it is given up', () => double.outstanding() === 0)
        t.equal(peer.received, '')
      })
    await t.test('a server', async t => {
      const double = freshDouble(t)
      double.behave('WSASetSocketSecurity', { mode: 'never' })
      const listening = new SecureServer({ security })
      listening.listen(0, LOOPBACK)
      await until('it pends', () => double.outstanding() === 1)
      const closed = event(listening, 'close')
      listening.close()
      await closed
      t.equal(listening.listening, false)
      await until('it is given up', () => double.outstanding() === 0)
    })
    await t.test(
      'a datagram socket: at once, or when what was sent before cannot be sent',
      async t => {
        const double = freshDouble(t)
        double.behave('WSASetSocketSecurity', { mode: 'never' })
        const peer = await plainPeer(t)
        for (const sends of [false, true]) {
          const socket = new SecureDgramSocket({
            type: 'udp4',
            security: { ...security, handshakeTimeout: sends ? 300 : 60_000 },
          })
          socket.on('error', () => {})
          const sent = new Promise(resolve => {
            if (sends) socket.send('a secret', peer.port, LOOPBACK, resolve)
            else socket.bind(0, LOOPBACK, resolve as () => void)
          })
          await until('it pends', () => double.outstanding() === 1)
          const closed = new Promise(resolve => socket.once('close', resolve))
          socket.close()
          await closed
          if (sends) t.type(await sent, Error)
          await until('it is given up', () => double.outstanding() === 0)
        }
        t.equal(peer.contacts, 0)
      },
    )
  })
}

type Loose = Record<string, ((...args: never[]) => unknown) | undefined>

/** What all of Node's TCP handles have in common. */
function tcpHandle(): Loose {
  const socket = new net.Socket()
  socket.connect({ host: 'x.invalid', port: 1, lookup() {} })
  const prototype = Object.getPrototypeOf(handleOf(socket))
  socket.destroy()
  return prototype
}

function udpHandle(): Loose {
  const socket = dgram.createSocket('udp4')
  const symbol = Object.getOwnPropertySymbols(socket).find(
    each => each.description === 'state symbol',
  )
  const states = socket as unknown as Record<symbol, { handle: object }>
  const state = states[symbol as symbol]
  if (!state) throw new Error('this Node keeps the handles of datagrams elsewhere')
  const prototype = Object.getPrototypeOf(state.handle)
  socket.close()
  return prototype
}

function handleOf(socket: net.Socket): { close?(): void } {
  return (socket as unknown as { _handle: object })._handle
}

/** Takes it away until the end of the test. */
function without(t: Test, object: Record<string, unknown>, key: string): void {
  const descriptor = Object.getOwnPropertyDescriptor(object, key)
  if (!descriptor) throw new Error(`there is no ${key}`)
  delete object[key]
  t.teardown(() => Object.defineProperty(object, key, descriptor))
}

function answering(addresses: LookupAddress[]): net.LookupFunction {
  return (_host, options, answer) => {
    const [{ address, family }] = addresses as [LookupAddress]
    if (options.all) setImmediate(answer, null, addresses)
    else setImmediate(answer, null, address, family)
  }
}
