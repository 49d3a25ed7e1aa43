/** That nothing is left of secured sockets: no socket, handle, token, event or pending call. */
import t, { type Test } from 'tap'
import { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'
import { event } from '../support/events.js'
import { until } from '../support/until.js'
import { noDouble, winsockDouble } from '../support/winsock-double.js'
import { calls, freshDouble } from './log.js'
import { client, LOOPBACK, plainPeer, plainServer, security, server } from './scenes.js'

/** Handles that a process may hold more of without having lost any: those of timers and threads. */
const SLACK = 8

if (noDouble) t.plan(0, noDouble)
else {
  t.test('connections: however they end', async t => {
    const double = freshDouble(t)
    const listening = await server(t)
    const connect = async () => {
      const socket = client(t, listening.port)
      await event(socket, 'connect')
      await socket.querySecurity()
      const accepted = (await listening.accepts(1)).shift()
      await accepted?.querySecurity()
      const closed = Promise.all([event(socket, 'close'), event(accepted as never, 'close')])
      accepted?.end()
      socket.end()
      await closed
    }
    await steady(t, connect)
    t.equal(double.openTokens(), 0)
    t.ok(double.givenTokens() > 0, 'there were some')
  })

  t.test('connections that fail at each step', async t => {
    const double = freshDouble(t)
    const peer = await plainServer(t)
    for (const name of [
      'WSASetSocketSecurity',
      'WSASetSocketPeerTargetName',
      'WSAQuerySocketSecurity',
    ] as const)
      for (const mode of ['fail', 'pendFail'] as const)
        await t.test(`${name}: ${mode}`, async t => {
          double.behave(name, { mode, error: 10055, delay: 5 })
          await steady(t, async () => {
            const socket = client(t, peer.port)
            await socket.failed
            if (!socket.closed) await event(socket, 'close')
          })
          double.behave(name, { mode: 'default' })
        })
  })

  t.test('connections that are destroyed at each step, while a call pends', async t => {
    const double = freshDouble(t)
    const peer = await plainServer(t)
    for (const name of [
      'WSASetSocketSecurity',
      'WSASetSocketPeerTargetName',
      'WSAQuerySocketSecurity',
    ] as const)
      await t.test(name, async t => {
        double.behave(name, { mode: 'never' })
        await steady(t, async () => {
          const socket = client(t, peer.port)
          await until('it pends', () => double.outstanding() > 0)
          socket.destroy()
          await event(socket, 'close')
          await until('it is cancelled', () => double.outstanding() === 0)
        })
        double.behave(name, { mode: 'default' })
      })
  })

  t.test('servers, and servers that are closed while they are being secured', async t => {
    const double = freshDouble(t)
    await steady(t, async () => {
      const { server: one } = await server(t)
      const closed = event(one, 'close')
      one.close()
      await closed
    })
    double.behave('WSASetSocketSecurity', { mode: 'never' })
    await steady(t, async () => {
      const listening = server(t)
      listening.catch(() => {})
      await until('it pends', () => double.outstanding() > 0)
      double.release({ cancelled: true })
      await listening.catch(() => {})
    })
  })

  t.test('datagram sockets with several peers', async t => {
    freshDouble(t)
    const peers = [await plainPeer(t), await plainPeer(t), await plainPeer(t)]
    await steady(t, async () => {
      const socket = new SecureDgramSocket({ type: 'udp4', security })
      let secured = 0
      socket.on('secure', () => {
        secured += 1
      })
      for (const { port } of peers) socket.send('hello', port, LOOPBACK)
      await until('all are secured', () => secured === peers.length)
      for (const { port } of peers) await socket.querySecurity({ address: LOOPBACK, port })
      await socket[Symbol.asyncDispose]()
    })
  })

  t.test('200 connections, 50 at a time: each secured once, asked about, and gone', async t => {
    const double = freshDouble(t)
    const listening = await server(t)
    for (let wave = 0; wave < 4; wave++) {
      const sockets = Array.from({ length: 50 }, () => client(t, listening.port))
      const infos = await Promise.all(sockets.map(socket => socket.secured))
      t.ok(infos.every(({ secured, encrypted }) => secured && encrypted))
      await listening.accepts(50)
      const ends = [...sockets, ...listening.accepted.splice(0)]
      await Promise.all(
        ends.map(async socket => {
          socket.destroy()
          if (!socket.closed) await event(socket, 'close')
        }),
      )
    }
    const log = double.takeLog()
    const [settings, names, queries] = [
      calls(log, 'WSASetSocketSecurity'),
      calls(log, 'WSASetSocketPeerTargetName'),
      calls(log, 'WSAQuerySocketSecurity'),
    ]
    t.same([settings.length, names.length, queries.length], [201, 200, 400])
    t.ok(settings.every(({ bound, connected, error }) => !bound && !connected && error === 0))
    t.ok(names.every(({ secured, connected, error }) => secured && !connected && error === 0))
    t.ok(queries.every(({ secured, connected, error }) => secured && connected && error === 0))
    t.equal(double.outstanding(), 0)
    t.equal(double.openTokens(), 0)
    // Windows gives the numbers of closed sockets to others, so each is closed before its next life.
    const lives = new Map<number, number>()
    for (const { phase, function: name, socket } of log) {
      if (phase !== 'call') continue
      if (name === 'WSASetSocketSecurity') lives.set(socket, (lives.get(socket) ?? 0) + 1)
      if (name === 'closesocket') lives.set(socket, (lives.get(socket) ?? 0) - 1)
    }
    const open = [...lives.values()].filter(count => count > 0)
    t.equal(open.length, 1, 'the listener alone is left')
  })

  t.test(
    'every operation that has pended is completed once, with its memory untouched',
    async t => {
      const double = freshDouble(t)
      for (const name of [
        'WSASetSocketSecurity',
        'WSASetSocketPeerTargetName',
        'WSAQuerySocketSecurity',
      ] as const)
        double.behave(name, { mode: 'pend', delay: 5 })
      const listening = await server(t)
      await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          const socket = client(t, listening.port)
          // Half of them is given up on the way.
          if (index % 2 === 0) await event(socket, 'connect')
          socket.destroy()
          if (!socket.closed) await event(socket, 'close')
        }),
      )
      await until('nothing pends', () => double.outstanding() === 0)
      const log = double.takeLog()
      const pended = log.filter(({ phase, error }) => phase === 'call' && error === 997)
      const completed = log.filter(({ phase }) => phase === 'complete')
      t.ok(pended.length > 40)
      t.equal(completed.length, pended.length)
      t.notOk(completed.some(({ inputChanged }) => inputChanged))
    },
  )
}

/** Does it often, and holds the same handles after it as after the first times. */
async function steady(t: Test, once: () => Promise<void>): Promise<void> {
  const double = winsockDouble()
  for (let i = 0; i < 5; i++) await once()
  await until('nothing pends', () => double.outstanding() === 0)
  const before = double.handles()
  for (let i = 0; i < 15; i++) await once()
  await until('nothing pends', () => double.outstanding() === 0)
  await until('the handles are closed', () => double.handles() <= before + SLACK).catch(() => {})
  const more = double.handles() - before
  t.ok(more <= SLACK, `15 times: ${more} handles more`)
}
