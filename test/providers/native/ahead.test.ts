/**
 * The endpoint of a socket whose peers the system can secure ahead of the first message: nothing
 * leaves before, what has lost its security is made anew by the next message, and nothing is sent or
 * believed while the system says that it does not keep clear packets back.
 */
import t from 'tap'
import type { SecurityInfo } from '../../../src/model/security-info.js'
import { type DatagramSecuritySettings, parseSettings } from '../../../src/model/settings.js'
import { parseTargetName } from '../../../src/model/target-name.js'
import type {
  EndpointObserver,
  NativeDatagramSocket,
  NativeWaiting,
  NativeWatcher,
} from '../../../src/providers/datagram-provider.js'
import { NativeEndpoint } from '../../../src/providers/native/endpoint.js'
import { failure } from '../../support/events.js'
import { clearInfo, NativeStandIn, securedInfo } from '../../support/native-datagrams.js'

const A = '10.0.0.1'
const PORT = 5000

/** Where the system can secure ahead, and what it does. */
async function world(settings: DatagramSecuritySettings = {}) {
  let now = 0
  const system = new NativeStandIn()
  const { log } = system
  const leaving = { fails: null as Error | null }
  const kernel = {
    interruption: undefined as Error | undefined,
    watcher: undefined as NativeWatcher | undefined,
    waiting: [] as NativeWaiting[],
    secure: (): Promise<void> => Promise.resolve(),
  }
  const observer: EndpointObserver = {
    datagram(datagram, address, port, sent) {
      log.push(`leaves ${address}:${port} ${datagram}`)
      queueMicrotask(() => sent?.(leaving.fails))
    },
    message: (message, { address, port }) => log.push(`message ${address}:${port} ${message}`),
    secured: ({ address, port }) => log.push(`secured ${address}:${port}`),
    peerError: (error, { address, port }) => log.push(`error ${address}:${port} ${code(error)}`),
    peerClosed: ({ address, port }) => log.push(`closed ${address}:${port}`),
    keylog() {},
  }
  const endpoint = new NativeEndpoint(
    {
      settings: parseSettings({ protocol: 'ipsec', ...settings }, 'datagram'),
      clock: { now: () => now, wallTime: () => now },
      provider: system,
      enter: call => call(),
    },
    observer,
  )
  endpoint.acceptsStrangers = true
  const socket: NativeDatagramSocket = await system.openSocket({
    family: 4,
    settings: endpoint.settings,
    signal: new AbortController().signal,
  })
  Object.assign(socket, {
    async secure(address: string, port: number, waiting: NativeWaiting) {
      log.push(`secure ${address}:${port}`)
      kernel.waiting.push(waiting)
      await kernel.secure()
    },
    async beforeConnect(address: string, port: number) {
      log.push(`before connect ${address}:${port}`)
    },
    forget: (address: string, port: number) => log.push(`forget ${address}:${port}`),
    interruption: () => kernel.interruption,
    watch(watcher: NativeWatcher) {
      kernel.watcher = watcher
    },
  })
  endpoint.attach(socket)
  log.length = 0
  return {
    ...{ endpoint, system, log, kernel, leaving },
    /** The outcome of a message: its bytes, or the code of its error. */
    send: (text: string, host = A) =>
      new Promise<unknown>(resolve =>
        endpoint.send(Buffer.from(text), A, PORT, host, (error, bytes) =>
          resolve(error ? code(error) : bytes),
        ),
      ),
    async pass(milliseconds: number) {
      now += milliseconds
      endpoint.tick()
      await settled()
    },
  }
}

function code(error: Error & { code?: string }): string {
  return error.code ?? error.message
}

async function settled(): Promise<void> {
  await new Promise(resolve => setImmediate(resolve))
}

t.test('the name, the keys, the question, and only then the messages, in order', async t => {
  const { send, log } = await world()
  t.same(await Promise.all(['one', 'two'].map(each => send(each))), [3, 3])
  t.same(log, [
    'name 10.0.0.1:5000 10.0.0.1',
    'secure 10.0.0.1:5000',
    'query 10.0.0.1:5000',
    'leaves 10.0.0.1:5000 one',
    'leaves 10.0.0.1:5000 two',
    'secured 10.0.0.1:5000',
  ])
})

t.test('secure() needs no message; whoever asks meanwhile shares the attempt', async t => {
  const { endpoint, log, send } = await world()
  const [one, two] = await Promise.all([
    endpoint.secure(A, PORT, A),
    endpoint.secure(A, PORT, A),
    send('x'),
  ])
  t.match(one, { secured: true })
  t.equal(one, two)
  t.equal(log.filter(each => each.startsWith('secure ')).length, 1)
  t.match(await failure(endpoint.secure(A, PORT, 'other.example')), {
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
  })
})

t.test('where it cannot be secured nothing leaves, and everybody is told why', async t => {
  const { endpoint, log, send, kernel } = await world()
  const refused = Object.assign(new Error('refused'), { code: 'EPROTO' })
  kernel.secure = () => Promise.reject(refused)
  const asked = failure(endpoint.secure(A, PORT, A))
  t.equal(await send('x'), 'EPROTO')
  t.equal(await asked, refused)
  t.same(log.slice(2), [
    'forget 10.0.0.1:5000',
    'delete 10.0.0.1:5000',
    'error 10.0.0.1:5000 EPROTO',
  ])
  kernel.secure = () => Promise.resolve()
  t.equal(await send('again'), 5, 'the next message tries anew')
})

t.test('the system has the time that the settings give, and is told when nobody waits', async t => {
  const { send, kernel, pass, endpoint } = await world({ handshakeTimeout: 5000 })
  kernel.secure = () => new Promise(() => {})
  const outcome = send('x')
  await settled()
  t.equal(kernel.waiting[0]?.timeout, 5000)
  await pass(5500)
  t.equal(kernel.waiting[0]?.signal.aborted, false, 'it knows best why it fails: a moment more')
  await pass(500)
  t.equal(await outcome, 'ETIMEDOUT')
  t.equal(kernel.waiting[0]?.signal.aborted, true)
  const other = send('y')
  await settled()
  endpoint.closePeer(A, PORT)
  t.equal(await other, 'ECANCELED')
  t.equal(kernel.waiting[1]?.signal.aborted, true)
})

t.test(
  'who has spoken first is asked about; our own message secures it where it is not',
  async t => {
    const { endpoint, send, log, system } = await world()
    let answer = clearInfo
    system.answer = () => answer
    endpoint.receive(Buffer.from('hello'), A, PORT)
    const outcome = send('x')
    answer = securedInfo
    t.equal(await outcome, 1)
    t.same(
      log.filter(each => !each.startsWith('name')),
      [
        'secure 10.0.0.1:5000',
        'query 10.0.0.1:5000',
        'leaves 10.0.0.1:5000 x',
        'secured 10.0.0.1:5000',
        'message 10.0.0.1:5000 hello',
      ],
    )
  },
)

t.test('keys that have gone: the peer is closed, and secured anew by the next message', async t => {
  const { endpoint, send, log, kernel } = await world()
  await send('one')
  log.length = 0
  kernel.watcher?.peerLost(undefined, A, PORT)
  t.same(log, ['closed 10.0.0.1:5000'])
  t.same(endpoint.peers(), [])
  await send('two')
  t.same(log.slice(1), [
    'secure 10.0.0.1:5000',
    'query 10.0.0.1:5000',
    'leaves 10.0.0.1:5000 two',
    'secured 10.0.0.1:5000',
  ])
})

t.test('somebody else at the address of a peer: whoever speaks to it is told', async t => {
  const { endpoint, send, log, kernel } = await world()
  await send('one')
  log.length = 0
  const exchanged = Object.assign(new Error('another'), { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
  kernel.watcher?.peerLost(exchanged, A, PORT)
  t.same(log, ['closed 10.0.0.1:5000', 'error 10.0.0.1:5000 ERR_PEER_TARGET_NAME_MISMATCH'])
  t.equal(endpoint.query(A, PORT), undefined)
})

t.test(
  'what the kernel drops for want of keys is an error, and ends what was believed',
  async t => {
    const { send, log, leaving, endpoint } = await world()
    await send('one')
    leaving.fails = Object.assign(new Error('send EPERM'), { code: 'EPERM' })
    t.equal(await send('two'), 'ECONNRESET')
    t.same(endpoint.peers(), [])
    leaving.fails = null
    log.length = 0
    t.equal(await send('three'), 5)
    t.equal(log[0], 'secure 10.0.0.1:5000')
  },
)

t.test('while clear packets are not kept back nothing is sent, and nothing delivered', async t => {
  const { endpoint, send, log, kernel, system } = await world()
  await send('one')
  log.length = 0
  kernel.interruption = Object.assign(new Error('gone'), { code: 'ECONNRESET' })
  let back = () => {}
  kernel.secure = () =>
    new Promise(resolve => {
      back = resolve
    })
  endpoint.receive(Buffer.from('perhaps in clear'), A, PORT)
  t.same(log, ['closed 10.0.0.1:5000', 'error 10.0.0.1:5000 ECONNRESET'])
  const outcome = send('two')
  await settled()
  t.notOk(log.some(each => each.startsWith('leaves')))
  t.equal(endpoint.stats.dropped.unauthenticated, 1)
  kernel.interruption = undefined
  system.answer = (): SecurityInfo => securedInfo
  back()
  t.equal(await outcome, 3)
  endpoint.receive(Buffer.from('secured'), A, PORT)
  t.equal(log.at(-1), 'message 10.0.0.1:5000 secured')
})

t.test('all of it is lost at once where the daemon goes', async t => {
  const { endpoint, send, log, kernel } = await world()
  await send('one')
  log.length = 0
  kernel.watcher?.allLost(Object.assign(new Error('gone'), { code: 'ECONNRESET' }))
  t.same(log, ['closed 10.0.0.1:5000', 'error 10.0.0.1:5000 ECONNRESET'])
  t.same(endpoint.peers(), [])
})

t.test('before a socket is connected its peer is made known, by its name', async t => {
  const { endpoint, log } = await world()
  await endpoint.setTargetName(A, PORT, parseTargetName('host/a.example'))
  await endpoint.beforeConnect(A, PORT, 'anything.example')
  t.same(log, ['name 10.0.0.1:5000 host/a.example', 'before connect 10.0.0.1:5000'])
})
