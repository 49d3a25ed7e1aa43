/**
 * How the datagrams of a socket travel: which channel it takes, that it has its port for itself on
 * each of them (R9), and that no descriptor is used by somebody it does not belong to. What travels
 * is the subject of every other test of datagrams, which run over both channels.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { spawn } from 'node:child_process'
import cluster from 'node:cluster'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { BlockList } from 'node:net'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import * as linux from '../../../lib/linux-sockets.js'
import { SO_REUSEADDR, SO_REUSEPORT, SOL_SOCKET } from '../../../lib/linux-sockets.js'
import { batchUnavailable } from '../../../src/channels/batch/availability.js'
import { BatchChannel } from '../../../src/channels/batch/batch-channel.js'
import type { DatagramChannel } from '../../../src/channels/channel.js'
import { setIpsecDatagramProvider } from '../../../src/providers/select.js'
import { handleOf, type UdpHandle } from '../../../src/sockets/dgram/handle.js'
import { stateOf } from '../../../src/sockets/dgram/state.js'
import type {
  SecureDgramSocket,
  SecureDgramSocketOptions,
} from '../../../src/sockets/secure-dgram-socket.js'
import { event, failure } from '../../support/events.js'
import { NativeStandIn } from '../../support/native-datagrams.js'
import {
  boundSocket,
  datagramSocket,
  identified,
  inbox,
  LOOPBACK,
  sent,
} from '../../support/secured-datagrams.js'
import { bound, udpTap } from '../../support/udp-tap.js'
import { until } from '../../support/until.js'

const VARIABLE = 'SECURE_SOCKET_CHANNEL'
const missing = batchUnavailable()
const noBatch = missing === undefined ? {} : { skip: `no batch channel here: ${missing}` }
const kinds = missing === undefined ? (['batch', 'portable'] as const) : (['portable'] as const)

type Options = Partial<SecureDgramSocketOptions> & { reusePort?: boolean }

/** What the environment of this run says is not what these tests are about. */
const outside = process.env[VARIABLE]
t.beforeEach(() => {
  delete process.env[VARIABLE]
})
t.teardown(() => {
  if (outside !== undefined) process.env[VARIABLE] = outside
})

async function made(t: Test, options: Options = {}): Promise<SecureDgramSocket> {
  return datagramSocket(t, { security: await identified(), ...options } as never)
}

async function madeAndBound(t: Test, options: Options = {}, port = 0): Promise<SecureDgramSocket> {
  const socket = await made(t, options)
  socket.bind(port, LOOPBACK)
  await event(socket, 'listening')
  return socket
}

function option(socket: SecureDgramSocket, name: number): number {
  const { fd } = handleOf(socket) as UdpHandle & { fd: number }
  return linux.getsockopt(fd, SOL_SOCKET, name)
}

/** A message from one to the other, and the answer. */
async function talk(t: Test, client: SecureDgramSocket, server: SecureDgramSocket): Promise<void> {
  const [heard, answers] = [inbox(server), inbox(client)]
  await sent(client, 'question', server.address().port)
  const { text, rinfo } = await heard.next()
  t.equal(text, 'question')
  await sent(server, 'answer', rinfo.port, rinfo.address)
  t.equal((await answers.next()).text, 'answer')
}

t.test('the batch channel is chosen by itself where it is available', async t => {
  const socket = await made(t)
  t.equal(socket.channel, undefined, 'before it is bound')
  socket.bind(0, LOOPBACK)
  t.equal(socket.channel, undefined)
  await event(socket, 'listening')
  t.equal(socket.channel, missing === undefined ? 'batch' : 'portable')
})

t.test('the environment chooses, and the option of the constructor before it', async t => {
  for (const kind of kinds) {
    process.env[VARIABLE] = kind
    t.equal((await madeAndBound(t)).channel, kind, `${VARIABLE}=${kind}`)
    for (const channel of kinds)
      t.equal((await madeAndBound(t, { channel })).channel, channel, `${kind}, but ${channel}`)
  }
  process.env[VARIABLE] = ''
  t.equal((await madeAndBound(t)).channel, kinds[0], 'an empty variable is none')
})

t.test('what names no channel is EINVAL, and nothing is sent', async t => {
  const expected = { code: 'EINVAL', message: /channel is "fast".*'batch' or 'portable'/ }
  t.throws(() => datagramSocket(t, { channel: 'fast' as never }), expected)
  t.throws(() => datagramSocket(t, { channel: null as never }), { code: 'EINVAL' })
  process.env[VARIABLE] = 'fast'
  const unknown = { code: 'EINVAL', message: /SECURE_SOCKET_CHANNEL is "fast"/ }
  const far = await bound()
  t.teardown(() => far.close())
  t.match(await failure(sent(await made(t), 'x', far.address().port)), unknown)
  const socket = await made(t)
  socket.bind(0, LOOPBACK)
  t.match(await once(socket, 'error'), [unknown])
})

t.test('a batch channel that was asked for and is not there is an error', async t => {
  if (missing !== undefined) {
    const socket = await made(t, { channel: 'batch' })
    socket.bind(0, LOOPBACK)
    t.match(await once(socket, 'error'), [{ code: 'ERR_PROVIDER_UNAVAILABLE' }])
    return
  }
  const system = new NativeStandIn(
    () => linux.socket(linux.AF_INET, linux.SOCK_DGRAM | linux.SOCK_NONBLOCK, 0),
    fd => void linux.close(fd),
  )
  setIpsecDatagramProvider(system)
  t.teardown(() => setIpsecDatagramProvider(null))
  const security = { protocol: 'ipsec' } as const
  const native = await made(t, { security, channel: 'batch' })
  native.bind(0, LOOPBACK)
  t.match(await once(native, 'error'), [{ code: 'ERR_PROVIDER_UNAVAILABLE', message: /IPsec/ }])
  t.same(system.log, [], 'no socket was made')
  process.env[VARIABLE] = 'batch'
  const other = await madeAndBound(t, { security })
  t.equal(other.channel, 'portable', 'the variable is for datagrams that we protect')
})

/** What may be missing inside of Node, or fail there. */
const broken: Record<string, (t: Test, handle: UdpHandle) => void> = {
  'a handle that cannot be told not to read'(_t, handle) {
    Object.assign(handle, { recvStop: undefined })
  },
  'a handle that does not take the socket'(_t, handle) {
    handle.open = () => -22
  },
  'a handle that reads on'(_t, handle) {
    handle.recvStop = () => -9
  },
  'a system that cannot be asked what has come'(t) {
    const { start } = BatchChannel.prototype
    BatchChannel.prototype.start = () => {
      throw new Error('no')
    }
    t.teardown(() => {
      BatchChannel.prototype.start = start
    })
  },
}
for (const [what, breakIt] of Object.entries(broken)) {
  t.test(`${what}: the portable channel, or nothing at all`, noBatch, async t => {
    const server = await madeAndBound(t, { channel: 'portable' })
    const client = await made(t)
    const handle = handleOf(client) as UdpHandle
    breakIt(t, handle)
    client.bind(0, LOOPBACK)
    await event(client, 'listening')
    // Node's close() calls it.
    Reflect.deleteProperty(handle, 'recvStop')
    t.equal(client.channel, 'portable')
    await talk(t, client, server)

    const strict = await made(t, { channel: 'batch' })
    breakIt(t, handleOf(strict) as UdpHandle)
    strict.bind(0, LOOPBACK)
    t.match(await once(strict, 'error'), [{ code: 'ERR_PROVIDER_UNAVAILABLE' }])
    t.throws(() => strict.remoteAddress(), 'it is connected to nobody')
    t.equal(strict.channel, undefined)
  })
}

t.test('a process without descriptors gets an error, or another channel', noBatch, async t => {
  const program = fileURLToPath(new URL('descriptors-program.ts', import.meta.url))
  const args = ['ulimit -n 256 && exec "$@"', 'sh', process.execPath, ...process.execArgv, program]
  const child = spawn('sh', ['-c', ...args], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  t.teardown(() => child.kill())
  const [outcomes] = await event(child, 'message', 60_000)
  t.match(outcomes, ['EMFILE', 'portable'], 'Node needs one, the channel another')
  t.equal((outcomes as string[]).at(-1), 'batch')
})

t.test('libuv never reads a socket of the batch channel', noBatch, async t => {
  const socket = await made(t, { channel: 'batch' })
  const handle = handleOf(socket) as Required<UdpHandle>
  const log: string[] = []
  for (const name of ['recvStart', 'recvStop', 'close'] as const) {
    const call = handle[name]
    handle[name] = (...args: unknown[]) => {
      // A promise job runs before libuv can look at any socket.
      Promise.resolve().then(() => log.push('later'))
      log.push(name)
      return (call as (...args: unknown[]) => number).apply(handle, args)
    }
  }
  socket.bind(0, LOOPBACK)
  await event(socket, 'listening')
  t.same(log, ['recvStart', 'recvStop', 'later', 'later'])
})

for (const channel of kinds) {
  t.test(`${channel}: the port is the socket's alone (R9)`, async t => {
    const socket = await madeAndBound(t, { channel })
    const { port } = socket.address()
    if (process.platform === 'linux') {
      t.equal(option(socket, SO_REUSEADDR), 0)
      t.equal(option(socket, SO_REUSEPORT), 0)
    }
    for (const options of [{}, { reuseAddr: true }, { reusePort: true }]) {
      if ('reusePort' in options && process.platform !== 'linux') continue
      const thief = dgram.createSocket({ type: 'udp4', ...options } as dgram.SocketOptions)
      thief.bind(port, LOOPBACK)
      t.match(await once(thief, 'error'), [{ code: 'EADDRINUSE' }], JSON.stringify(options))
      thief.close()
    }
    const second = await made(t, { channel })
    second.bind(port, LOOPBACK)
    t.match(await once(second, 'error'), [{ code: 'EADDRINUSE', syscall: 'bind' }])
    t.equal(second.channel, undefined)
    second.bind(0, LOOPBACK)
    await event(second, 'listening')
    t.equal(second.channel, channel, 'it may try another port')
    if (process.platform === 'linux') t.equal(option(second, SO_REUSEADDR), 0)
  })

  t.test(`${channel}: closed between two bindings, it touches no descriptor of others`, async t => {
    if (process.platform !== 'linux') return t.pass('its options are set elsewhere')
    const security = { ...(await identified()), sharePort: true }
    const other = await madeAndBound(t, { channel })
    let answer: (() => void) | undefined
    const lookup = ((host: string, _family: number, found: (...args: unknown[]) => void) => {
      const literal = () => found(null, LOOPBACK, 4)
      if (host === LOOPBACK) literal()
      else answer = literal
    }) as unknown as NonNullable<Options['lookup']>
    const socket = await made(t, { channel, security, reusePort: true, lookup })
    socket.bind(other.address().port, LOOPBACK)
    t.match(await once(socket, 'error'), [{ code: 'EADDRINUSE' }])
    // Its descriptor is there, and is closed before the second name is found.
    const { descriptor } = stateOf(socket)
    socket.bind(0, 'later')
    socket.close()
    await event(socket, 'close')
    // Whoever asks next is given that number.
    const heirs = [await madeAndBound(t, { channel }), await madeAndBound(t, { channel })]
    t.equal(linux.getsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT), 0, 'the number is in use')
    answer?.()
    await new Promise(setImmediate)
    t.equal(linux.getsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT), 0, 'nobody may share its port')
    for (const heir of heirs) t.equal(option(heir, SO_REUSEPORT), 0)
  })

  t.test(`${channel}: reuseAddr and reusePort, where the settings allow it`, async t => {
    if (process.platform !== 'linux') return t.pass('their meaning differs elsewhere')
    for (const [options, name] of [
      [{ reuseAddr: true }, SO_REUSEADDR],
      [{ reusePort: true }, SO_REUSEPORT],
    ] as const) {
      const refused = await made(t, { channel, ...options })
      refused.bind(0, LOOPBACK)
      t.match(await once(refused, 'error'), [{ code: 'EINVAL' }], 'sharePort is missing')
      const security = { ...(await identified()), sharePort: true }
      const first = await madeAndBound(t, { channel, security, ...options })
      t.equal(option(first, name), 1)
      const second = await madeAndBound(t, { channel, security, ...options }, first.address().port)
      t.equal(second.address().port, first.address().port)
    }
  })

  t.test(`${channel}: reusePort gives each process of a cluster a socket of its own`, async t => {
    if (process.platform !== 'linux') return t.pass('it is an option of Linux')
    const security = { ...(await identified()), sharePort: true }
    const options = { type: 'udp4', channel, security, reusePort: true } as const
    const { port } = (await madeAndBound(t, options)).address()
    cluster.setupPrimary({ exec: fileURLToPath(new URL('cluster-program.ts', import.meta.url)) })
    const worker = cluster.fork({ CLUSTER_SOCKET: JSON.stringify({ options, port }) })
    t.teardown(() => worker.process.kill())
    // A socket of the cluster's would be the same for all, and no other could have the port.
    t.match(await event(worker, 'message', 60_000), [channel])
  })

  t.test(`${channel}: bindSync and connectSync, where Node has them`, async t => {
    const client = (await made(t, { channel })) as SecureDgramSocket & {
      bindSync?: (options: object) => { port: number }
      connectSync?: (port: number, address: string) => void
    }
    if (!client.bindSync) return t.pass('this version has none')
    const server = await madeAndBound(t, { channel })
    const heard = inbox(server)
    const { port } = client.bindSync({ address: LOOPBACK })
    t.equal(client.channel, channel)
    if (process.platform === 'linux') t.equal(option(client, SO_REUSEADDR), 0)
    await talk(t, client, server)
    client.connectSync?.(server.address().port, LOOPBACK)
    client.send('connected')
    await heard.have(2)
    t.match(heard.all[1], { text: 'connected', rinfo: { port } })
  })

  t.test(`${channel}: connected, disconnected, connected to another`, async t => {
    const [first, second] = [await madeAndBound(t, { channel }), await madeAndBound(t, { channel })]
    const client = await madeAndBound(t, { channel })
    const answers = inbox(client)
    const told: (number | undefined)[] = []
    const travels = stateOf(client).channel
    if (travels?.connected) {
      const { connected } = travels
      travels.connected = to => {
        told.push(to?.port)
        connected.call(travels, to)
      }
    }
    for (const server of [first, second, first]) {
      const heard = inbox(server)
      client.connect(server.address().port, LOOPBACK)
      await event(client, 'connect')
      await new Promise<void>((resolve, reject) =>
        client.send('to you', error => (error ? reject(error) : resolve())),
      )
      const { text, rinfo } = await heard.next()
      t.equal(text, 'to you')
      server.send('and back', rinfo.port, rinfo.address)
      t.match(await answers.next(), { text: 'and back', rinfo: { port: server.address().port } })
      // It must know: then an error of a send can be one of the past, which costs no datagram.
      if (channel === 'batch') t.equal(told.at(-1), server.address().port, 'the channel knows')
      client.disconnect()
      if (channel === 'batch') t.equal(told.at(-1), undefined, 'and that it is over')
    }
    await sent(client, 'not connected', second.address().port)
  })

  t.test(
    `${channel}: an ICMP error of a connected socket is counted, and ends nothing`,
    async t => {
      const server = await madeAndBound(t, { channel })
      const { port } = server.address()
      const client = await made(t, { channel })
      client.on('error', error => t.fail(`an error: ${error.message}`))
      client.connect(port, LOOPBACK)
      await event(client, 'connect')
      const heard = inbox(server)
      client.send('hello')
      await heard.next()
      await server[Symbol.asyncDispose]()
      await until('the peer has said goodbye', () => client.peers().length === 0)
      // Nobody is there: the system hears it, and tells with the next call.
      const delivered = new Promise<void>((resolve, reject) =>
        client.send('anybody there?', error => (error ? reject(error) : resolve())),
      )
      await until('it was counted', () => client.stats.dropped.icmp > 0)
      const successor = await madeAndBound(t, { channel }, port)
      const heardAgain = inbox(successor)
      t.equal((await heardAgain.next()).text, 'anybody there?', 'the hello was sent again')
      await delivered
    },
  )

  t.test(`${channel}: who is on receiveBlockList is not heard`, async t => {
    if (channel === 'portable' && /^v20\./.test(process.version))
      return t.pass('this version of Node knows no such list')
    const receiveBlockList = new BlockList()
    receiveBlockList.addAddress(LOOPBACK)
    const server = await madeAndBound(t, { channel, receiveBlockList } as Options)
    const open = await madeAndBound(t, { channel })
    const clear = await bound()
    t.teardown(() => clear.close())
    clear.send('in clear', server.address().port, LOOPBACK)
    // What is sent later to another socket comes later.
    clear.send('in clear', open.address().port, LOOPBACK)
    await until('the other has counted it', () => open.stats.dropped.malformed === 1)
    await new Promise(resolve => setImmediate(resolve))
    t.equal(server.stats.dropped.malformed, 0)
  })

  t.test(`${channel}: listeners run in the async context of the socket`, async t => {
    const storage = new AsyncLocalStorage<string>()
    const server = await storage.run('of the server', () => madeAndBound(t, { channel }))
    let context: unknown
    const heard = once(server, 'message')
    server.on('message', () => {
      context = storage.getStore()
    })
    const client = await made(t, { channel })
    await storage.run('of the sender', () => sent(client, 'hello', server.address().port))
    await heard
    t.equal(context, 'of the server')
  })

  t.test(`${channel}: Node's own close closes the channel before the descriptor`, async t => {
    const socket = await madeAndBound(t, { channel })
    const peer = await boundSocket(t)
    await sent(socket, 'hello', peer.port)
    const { fd } = handleOf(socket) as UdpHandle & { fd: number }
    const closed = once(socket, 'close')
    // Not the socket's own, which says goodbye to the peers first.
    dgram.Socket.prototype.close.call(socket)
    // The system gives the lowest free number: that of the socket, which is no longer the socket's.
    const heir = await bound()
    t.teardown(() => heir.close())
    const received: string[] = []
    heir.on('message', message => received.push(message.toString()))
    t.equal((handleOf(heir) as UdpHandle & { fd: number }).fd, fd)
    t.match(await failure(sent(socket, 'to nobody', peer.port)), { message: /./ })
    const other = await bound()
    t.teardown(() => other.close())
    other.send('for the heir', heir.address().port, LOOPBACK)
    await until('the heir has got it', () => received.length === 1)
    t.same(received, ['for the heir'])
    await closed
    t.equal((await peer.heard.have(1)).length, 1)
  })
}

t.test('strangers cannot fill the queue of node:dgram with answers to them', async t => {
  const server = await madeAndBound(t, { channel: 'portable' })
  const heard = inbox(server)
  const tap = await udpTap(server.address().port)
  t.teardown(() => tap.close())
  // A queue that is full, as behind a link that is too narrow for all that come.
  const handle = handleOf(server) as UdpHandle & { getSendQueueCount?: () => number }
  handle.getSendQueueCount = () => 1024
  const client = await made(t)
  const delivered = sent(client, 'hello', tap.port)
  await until('it came, and once more', () => tap.toServer.length === 2)
  t.same(tap.toClient, [], 'nobody was answered')
  Reflect.deleteProperty(handle, 'getSendQueueCount')
  t.equal(await delivered, 5, 'there is room again')
  t.equal((await heard.next()).text, 'hello')
})

t.test('close() waits until the channel has got rid of everything (R24)', async t => {
  const socket = await madeAndBound(t, { channel: 'portable' })
  const log: string[] = []
  const queued = { datagrams: 2, bytes: 100 }
  const slow: DatagramChannel = {
    kind: 'batch',
    reserve: () => ({ arena: { bytes: Buffer.alloc(0), address: 0 }, offset: 0 }),
    commit() {},
    send() {},
    queued,
    flush: () => void log.push('flush'),
    ref() {},
    unref() {},
    close: () => void log.push('close'),
  }
  stateOf(socket).channel = slow
  t.equal(socket.getSendQueueCount(), 2)
  t.equal(socket.getSendQueueSize(), 100)
  socket.on('close', () => log.push('closed'))
  socket.close()
  await new Promise(resolve => setImmediate(resolve))
  t.same(log, ['flush'], 'it waits')
  queued.datagrams = 0
  const { finishWhenDone } = await import('../../../src/sockets/dgram/endpoint.js')
  const closed = event(socket, 'close')
  finishWhenDone(socket, stateOf(socket))
  await closed
  t.same(log, ['flush', 'flush', 'close', 'closed'])
})
