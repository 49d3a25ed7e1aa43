/**
 * In which order the system is told what, seen by the double of Fwpuclnt.dll: security before bind,
 * names before connect, both before the first byte; the answer before anybody hears of a connection;
 * and nothing at all after a failure.
 */
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { event, failure } from '../support/events.js'
import { until } from '../support/until.js'
import { noDouble } from '../support/winsock-double.js'
import { calls, freshDouble, names, onlyCall, story } from './log.js'
import { client, datagramSocket, LOOPBACK, plainPeer, plainServer, server } from './scenes.js'

if (noDouble) t.plan(0, noDouble)
else {
  t.test('what Node itself does with the sockets comes in between, and never before', async t => {
    const double = freshDouble(t)
    const peer = await plainServer(t)
    const datagrams = await plainPeer(t)
    double.watch()
    const socket = client(t, peer.port)
    socket.write('hello')
    await peer.hears(5)
    const stream = double.takeLog()
    const told = ['WSASetSocketSecurity', 'WSASetSocketPeerTargetName']
    t.same(story(stream, onlyCall(stream, 'WSASetSocketSecurity')), [
      ...told,
      'bind',
      'ConnectEx',
      'WSAQuerySocketSecurity',
      'WSASend',
    ])

    await server(t)
    const listener = double.takeLog()
    t.same(story(listener, onlyCall(listener, 'WSASetSocketSecurity')), [
      'WSASetSocketSecurity',
      'bind',
      'listen',
    ])

    const sender = datagramSocket(t)
    sender.send('hello', datagrams.port, LOOPBACK)
    await datagrams.hears(5)
    const datagram = double.takeLog()
    t.same(story(datagram, onlyCall(datagram, 'WSASetSocketSecurity')).slice(0, 4), [
      'WSASetSocketSecurity',
      'bind',
      'WSASetSocketPeerTargetName',
      'WSASendTo',
    ])
  })

  t.test('a client: security, name, and only then a connection, which is asked about', async t => {
    const double = freshDouble(t)
    const peer = await plainServer(t)
    const socket = client(t, peer.port)
    await event(socket, 'connect')
    const log = double.takeLog()
    t.same(names(log), [
      'WSASetSocketSecurity',
      'WSASetSocketPeerTargetName',
      'WSAQuerySocketSecurity',
    ])
    const [security, name, query] = log.filter(({ phase }) => phase === 'call')
    t.match(security, { bound: false, connected: false, type: 1, family: 2 })
    t.match(name, { bound: false, connected: false, secured: true, socket: security?.socket })
    t.match(query, { connected: true, secured: true, socket: security?.socket })
    t.equal(peer.received, '')
  })

  t.test('with a local port too: it is bound after its security', async t => {
    const double = freshDouble(t)
    const peer = await plainServer(t)
    const socket = client(t, peer.port, { localAddress: LOOPBACK })
    await event(socket, 'connect')
    t.equal(socket.localAddress, LOOPBACK)
    t.match(onlyCall(double.takeLog(), 'WSASetSocketSecurity'), { bound: false })
  })

  t.test('each step waits until the one before it has completed', async t => {
    const double = freshDouble(t)
    for (const name of [
      'WSASetSocketSecurity',
      'WSASetSocketPeerTargetName',
      'WSAQuerySocketSecurity',
    ] as const)
      double.behave(name, { mode: 'pend', delay: 50 })
    const peer = await plainServer(t)
    const socket = client(t, peer.port)
    socket.write('early')
    await event(socket, 'connect')
    t.same(
      double.takeLog().map(each => [each.phase, each.function]),
      [
        ['call', 'WSASetSocketSecurity'],
        ['complete', 'WSASetSocketSecurity'],
        ['call', 'WSASetSocketPeerTargetName'],
        ['complete', 'WSASetSocketPeerTargetName'],
        ['call', 'WSAQuerySocketSecurity'],
        ['complete', 'WSAQuerySocketSecurity'],
      ],
    )
    t.equal(await peer.hears(5), 'early')
  })

  t.test('nothing is sent or delivered while the system has not answered', async t => {
    const double = freshDouble(t)
    double.behave('WSAQuerySocketSecurity', { mode: 'never' })
    const peer = await plainServer(t, 'from the server')
    const socket = client(t, peer.port)
    let connected = false
    let heard = ''
    socket.on('connect', () => {
      connected = true
    })
    socket.on('data', data => {
      heard += data
    })
    socket.write('a secret')
    await until('the connection is asked about', () => double.outstanding() > 0)
    await until('the peer is contacted', () => peer.contacts > 0)
    t.same([connected, heard, peer.received], [false, '', ''])
    double.behave('WSAQuerySocketSecurity', { mode: 'default' })
    double.release()
    t.equal(await peer.hears(8), 'a secret')
    while (heard.length < 15) await event(socket, 'data')
    t.equal(heard, 'from the server')
  })

  t.test(
    'a server: security before it is bound; what it accepts is asked about, not told',
    async t => {
      const double = freshDouble(t)
      const listening = await server(t)
      const before = double.takeLog()
      t.same(names(before), ['WSASetSocketSecurity'])
      const { socket, bound, connected } = onlyCall(before, 'WSASetSocketSecurity')
      t.same([bound, connected], [false, false])
      const peer = client(t, listening.port)
      await listening.accepts(1)
      await event(peer, 'connect')
      const queries = calls(double.takeLog(), 'WSAQuerySocketSecurity')
      t.equal(queries.length, 2, 'one at each end')
      t.notOk(queries.some(each => each.socket === socket))
      t.ok(queries.every(each => each.connected && each.secured))
    },
  )

  t.test('a server shows nobody before the system has answered', async t => {
    const double = freshDouble(t)
    const listening = await server(t)
    double.behave('WSAQuerySocketSecurity', { mode: 'never' })
    client(t, listening.port)
    await until('both ends are asked about', () => double.outstanding() === 2)
    t.equal(listening.accepted.length, 0)
    double.release()
    await listening.accepts(1)
  })

  t.test('a datagram socket: security before bind, the name before the first datagram', async t => {
    const double = freshDouble(t)
    double.behave('WSASetSocketPeerTargetName', { mode: 'pend', delay: 100 })
    const peer = await plainPeer(t)
    const socket = datagramSocket(t)
    socket.send('hello', peer.port, LOOPBACK)
    await until('the name is told', () => double.outstanding() > 0)
    t.equal(peer.received, '')
    await event(socket, 'secure')
    const log = double.takeLog()
    t.same(names(log), [
      'WSASetSocketSecurity',
      'WSASetSocketPeerTargetName',
      'WSAQuerySocketSecurity',
    ])
    t.match(onlyCall(log, 'WSASetSocketSecurity'), { bound: false, connected: false, type: 2 })
    t.match(onlyCall(log, 'WSASetSocketPeerTargetName'), { connected: false, secured: true })
    t.equal(await peer.hears(5), 'hello')
  })

  t.test('a datagram socket that is connected: the name before connect', async t => {
    const double = freshDouble(t)
    const peer = await plainPeer(t)
    const socket = datagramSocket(t)
    await new Promise<void>(resolve => void socket.connect(peer.port, LOOPBACK, resolve))
    t.match(onlyCall(double.takeLog(), 'WSASetSocketPeerTargetName'), { connected: false })
  })

  t.test('what fails is the last that the system is told, and nobody is contacted', async t => {
    for (const name of ['WSASetSocketSecurity', 'WSASetSocketPeerTargetName'] as const)
      for (const mode of ['fail', 'pendFail'] as const)
        await t.test(`${name}: ${mode}`, async t => {
          const double = freshDouble(t)
          const peer = await plainServer(t)
          const datagrams = await plainPeer(t)
          double.behave(name, { mode, error: 10055, delay: 10 })
          double.watch()
          const socket = client(t, peer.port)
          socket.write('a secret')
          const error = await socket.failed
          t.match(error, { code: 'ENOBUFS', winsock: 'WSAENOBUFS', syscall: name })
          const told = ['WSASetSocketSecurity', 'WSASetSocketPeerTargetName']
          const log = double.takeLog()
          t.same(names(log), told.slice(0, told.indexOf(name) + 1))

          const datagramSender = datagramSocket(t)
          const sent = new Promise(resolve => {
            datagramSender.send('a secret', datagrams.port, LOOPBACK, resolve)
          })
          t.match(await sent, { code: 'ENOBUFS', syscall: name })
          t.same([peer.contacts, peer.received, datagrams.contacts], [0, '', 0])
          const done = [...log, ...double.takeLog()].filter(({ phase }) => phase === 'libuv')
          t.notOk(
            done.some(each => /connect|send/i.test(each.function)),
            'Node tried nothing',
          )
        })
  })

  t.test('a failed answer closes the connection before a byte has passed', async t => {
    for (const mode of ['fail', 'pendFail'] as const) {
      const double = freshDouble(t)
      double.behave('WSAQuerySocketSecurity', { mode, error: 10054, delay: 10 })
      const peer = await plainServer(t, 'from the server')
      const socket = client(t, peer.port)
      let heard = ''
      socket.on('data', data => {
        heard += data
      })
      socket.write('a secret')
      t.match(await socket.failed, { code: 'ECONNRESET', syscall: 'WSAQuerySocketSecurity' })
      t.match(await failure(socket.secured), { code: 'ECONNRESET' })
      t.same([peer.received, heard], ['', ''])
    }
  })

  t.test('a call that is repeated on a socket never is the second of its kind', async t => {
    const double = freshDouble(t)
    const peer = await plainServer(t)
    const socket = client(t, peer.port)
    await event(socket, 'connect')
    await socket.querySecurity()
    await socket.querySecurity()
    socket.destroy()
    await event(socket, 'close')
    const log = double.takeLog()
    t.equal(calls(log, 'WSASetSocketSecurity').length, 1)
    t.equal(calls(log, 'WSASetSocketPeerTargetName').length, 1)
    t.ok(
      log
        .filter(({ phase }) => phase === 'call')
        .every(({ error }) => error === 0 || error === 997),
      'and none breaks a precondition',
    )
  })

  t.test('after Node has taken the socket, no completion goes to its port', async t => {
    const double = freshDouble(t)
    for (const name of ['WSAQuerySocketSecurity', 'WSADeleteSocketPeerTargetName'] as const)
      double.behave(name, { mode: 'pend', delay: 10 })
    const listening = await server(t)
    const socket = client(t, listening.port)
    await event(socket, 'connect')
    await socket.querySecurity()
    const [accepted] = await listening.accepts(1)
    await accepted?.querySecurity()
    const peer = await plainPeer(t)
    const sender = datagramSocket(t)
    sender.send('hello', peer.port, LOOPBACK)
    await event(sender, 'secure')
    await sender.querySecurity({ address: LOOPBACK, port: peer.port })
    await sender.setPeerTargetName({ address: '127.0.0.9', port: 9, targetName: 'host/a.example' })
    await sender.deletePeerTargetName({ address: '127.0.0.9', port: 9 })
    const overlapped = double.takeLog().filter(each => each.phase === 'call' && each.overlapped)
    t.ok(overlapped.length >= 8)
    t.ok(
      overlapped.every(({ routine }) => !routine),
      'a completion routine would never run',
    )
    const adopted = overlapped.filter(each => each.function !== 'WSASetSocketSecurity')
    t.ok(
      adopted.filter(({ function: name }) => /Query|Delete/.test(name)).every(each => each.lowBit),
    )
  })

  t.test('every call is made by the thread that owns the socket', async t => {
    const double = freshDouble(t)
    const peer = await plainServer(t)
    await event(client(t, peer.port), 'connect')
    await event(client(t, peer.port), 'connect')
    const threads = new Set(double.takeLog().map(({ thread }) => thread))
    t.equal(threads.size, 1)

    const worker = new Worker(new URL('programs/connect.js', import.meta.url), {
      workerData: peer.port,
    })
    await event(worker, 'exit')
    const others = new Set(double.takeLog().map(({ thread }) => thread))
    t.equal(others.size, 1)
    t.not([...others][0], [...threads][0])
  })
}
