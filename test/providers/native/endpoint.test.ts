/**
 * The endpoint of a socket whose packets the system secures, without a network and with a clock of
 * the test's: what the system is told before anything leaves, what is held until it answers, and
 * what becomes of all that where it answers wrongly, late or never.
 */
import t from 'tap'
import type { SecurityInfo } from '../../../src/model/security-info.js'
import { type DatagramSecuritySettings, parseSettings } from '../../../src/model/settings.js'
import { parseTargetName } from '../../../src/model/target-name.js'
import type { EndpointObserver } from '../../../src/providers/datagram-provider.js'
import { NativeEndpoint } from '../../../src/providers/native/endpoint.js'
import { failure } from '../../support/events.js'
import {
  clearInfo,
  NativeStandIn,
  never,
  plainInfo,
  securedInfo,
} from '../../support/native-datagrams.js'

const A = '10.0.0.1'
const B = '10.0.0.2'
const PORT = 5000

/** An endpoint, all that it gives, and the clock. Nothing is attached where `early`. */
async function world(settings: DatagramSecuritySettings = {}, early = false) {
  let now = 0
  const system = new NativeStandIn()
  const { log } = system
  const clock = { now: () => now, wallTime: () => now }
  /** Callbacks of datagrams on their way, where `held`. */
  const leaving: ((error: Error | null) => void)[] = []
  const net = { held: false, fails: null as Error | null }
  const observer: EndpointObserver = {
    datagram(datagram, address, port, sent) {
      log.push(`leaves ${address}:${port} ${datagram}`)
      if (net.held && sent) leaving.push(sent)
      else queueMicrotask(() => sent?.(net.fails))
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
      clock,
      provider: system,
      enter: call => call(),
    },
    observer,
  )
  endpoint.acceptsStrangers = true
  const attach = async () => {
    const request = { family: 4 as const, settings: endpoint.settings }
    endpoint.attach(await system.openSocket({ ...request, signal: new AbortController().signal }))
    log.shift()
  }
  if (!early) await attach()
  return {
    endpoint,
    system,
    log,
    net,
    leaving,
    attach,
    /** The outcome of a message: its bytes, or the code of its error. */
    send: (text: string, address = A, port = PORT, host = address) =>
      new Promise<unknown>(resolve =>
        endpoint.send(Buffer.from(text), address, port, host, (error, bytes) =>
          resolve(error ? code(error) : bytes),
        ),
      ),
    /** Time passes, and whoever wants to be woken is. */
    async pass(milliseconds: number) {
      const end = now + milliseconds
      while (endpoint.deadline <= end) {
        now = Math.max(now, endpoint.deadline)
        endpoint.tick()
        await settled()
      }
      now = end
    },
  }
}

function code(error: Error & { code?: string }): string {
  return error.code ?? error.message
}

/** All that hangs on promises which are settled already has happened. */
async function settled(): Promise<void> {
  await new Promise(resolve => setImmediate(resolve))
}

t.test('the name, the first datagram, the question, and then the others in order', async t => {
  const { send, log, endpoint } = await world()
  const outcomes = Promise.all(['one', 'two', 'three'].map(each => send(each)))
  t.same(endpoint.queued, { datagrams: 3, bytes: 11 })
  t.same(await outcomes, [3, 3, 5])
  t.same(log, [
    'name 10.0.0.1:5000 10.0.0.1',
    'leaves 10.0.0.1:5000 one',
    'query 10.0.0.1:5000',
    'leaves 10.0.0.1:5000 two',
    'leaves 10.0.0.1:5000 three',
    'secured 10.0.0.1:5000',
  ])
  t.same(endpoint.queued, { datagrams: 0, bytes: 0 })
  t.equal(await send('four'), 4)
  t.equal(log.length, 7, 'a secured peer is not asked for again')
  t.match(endpoint.stats, { datagramsSent: 4, bytesSent: 15, handshakes: 1, peers: 1 })
  t.match(endpoint.query(A, PORT), { secured: true, peer: { targetName: A } })
})

t.test(
  'the name that was set comes before the one that is derived; an exact one first',
  async t => {
    const { send, log, endpoint } = await world()
    await endpoint.setTargetName(A, 0, parseTargetName('host/all.example'))
    await endpoint.setTargetName(A, PORT, parseTargetName('host/one.example'))
    await send('x', A, PORT, 'somebody.example')
    await send('y', A, PORT + 1, 'somebody.example')
    await send('z', B, PORT, 'somebody.example')
    t.same(
      log.filter(each => each.startsWith('name')),
      [
        'name 10.0.0.1:0 host/all.example',
        'name 10.0.0.1:5000 host/one.example',
        'name 10.0.0.1:5001 host/all.example',
        'name 10.0.0.2:5000 somebody.example',
      ],
    )
    t.equal(endpoint.query(A, PORT)?.peer?.targetName, 'host/one.example')
  },
)

t.test('nothing leaves before the name is taken, and nothing where it is not', async t => {
  const { send, log, system } = await world()
  let refuse!: (error: Error) => void
  system.named = peer =>
    peer.startsWith(A) ? new Promise((_, reject) => (refuse = reject)) : undefined
  const [first, second] = [send('one'), send('two')]
  t.equal(await send('other', B), 5, 'another peer is not disturbed')
  t.notOk(log.some(each => each.startsWith(`leaves ${A}`)))
  refuse(Object.assign(new Error('no such name'), { code: 'EINVAL' }))
  t.same(await Promise.all([first, second]), ['EINVAL', 'EINVAL'])
  t.notOk(log.some(each => each.startsWith(`leaves ${A}`)))
  t.ok(log.includes(`error ${A}:${PORT} EINVAL`))
  system.named = () => {}
  t.equal(await send('three'), 5, 'the next message begins anew')
})

t.test('names that were set before there was a socket are told when there is one', async t => {
  const { send, log, endpoint, attach, system } = await world({}, true)
  t.equal(endpoint.setTargetName(A, 0, parseTargetName('host/a.example')), undefined)
  endpoint.setTargetName(B, 0, parseTargetName('host/b.example'))
  system.named = peer => (peer.startsWith(B) ? never : undefined)
  await attach()
  t.same(log, ['name 10.0.0.1:0 host/a.example', 'name 10.0.0.2:0 host/b.example'])
  t.equal(await send('x'), 1, 'a name that is not answered holds up nobody else')
})

t.test(
  'a message before the name’s own call has ended waits for it, and fails with it',
  async t => {
    const { send, system, endpoint } = await world()
    let refuse!: (error: Error) => void
    system.named = peer =>
      peer.endsWith(':0') ? new Promise((_, reject) => (refuse = reject)) : undefined
    const named = failure(
      Promise.resolve(endpoint.setTargetName(A, 0, parseTargetName('host/a.example'))),
    )
    const outcome = send('x')
    refuse(Object.assign(new Error('no'), { code: 'EINVAL' }))
    t.match(await named, { message: 'no' })
    t.equal(await outcome, 'EINVAL')
  },
)

t.test('what is not secured yet is asked again; what never is fails in time', async t => {
  const { send, log, system, pass } = await world({ handshakeTimeout: 1000 })
  let answers: SecurityInfo[] = [clearInfo, clearInfo, securedInfo]
  system.answer = () => answers.shift() ?? clearInfo
  const outcome = send('x')
  await settled()
  await pass(100)
  t.equal(await outcome, 1)
  t.equal(log.filter(each => each.startsWith('query')).length, 3)
  answers = []
  const never = Promise.all([send('y', B), send('z', B)])
  await settled()
  await pass(999)
  t.notOk(log.some(each => each.startsWith('error')))
  await pass(1)
  t.same(await never, ['EPROTO', 'EPROTO'])
  t.equal(log.filter(each => each === `leaves ${B}:${PORT} z`).length, 0, 'only the first has left')
  t.equal(log.at(-1), `error ${B}:${PORT} EPROTO`)
})

t.test('a system that answers "not yet", and then never: it ends in time all the same', async t => {
  const { send, system, pass } = await world({ handshakeTimeout: 1000 })
  let asked = 0
  system.answer = () => {
    asked += 1
    return asked === 1 ? clearInfo : never
  }
  const outcome = send('x')
  await settled()
  await pass(1000)
  t.equal(asked, 2)
  t.equal(await outcome, 'ETIMEDOUT')
})

t.test('not encrypted where that is guaranteed (R14); enough where it is not', async t => {
  const strict = await world()
  strict.system.answer = () => plainInfo
  t.equal(await strict.send('x'), 'EPROTO')
  const lax = await world({ guaranteeEncryption: false })
  lax.system.answer = () => plainInfo
  t.equal(await lax.send('x'), 1)
})

t.test('a negotiation that has failed is not waited for', async t => {
  const { send, system } = await world()
  system.answer = () => ({ ...clearInfo, ipsec: { impersonated: false, negotiationError: 13801 } })
  t.equal(await send('x'), 'EPROTO')
})

t.test('a system that does not answer: ETIMEDOUT, at the name and at the question', async t => {
  for (const call of ['named', 'answer'] as const) {
    const { send, system, pass, endpoint } = await world({ handshakeTimeout: 500 })
    system[call] = () => never
    const outcome = send('x')
    await settled()
    await pass(500)
    t.equal(await outcome, 'ETIMEDOUT', call)
    t.equal(endpoint.deadline, Number.POSITIVE_INFINITY, 'nothing is waited for any more')
    t.same(endpoint.queued, { datagrams: 0, bytes: 0 })
  }
})

t.test('an answer that comes too late changes nothing', async t => {
  const { send, system, pass, endpoint, log } = await world({ handshakeTimeout: 500 })
  let answer!: (info: SecurityInfo) => void
  system.answer = () => new Promise(resolve => (answer = resolve))
  const outcome = send('x')
  await settled()
  await pass(500)
  t.equal(await outcome, 'ETIMEDOUT')
  answer(securedInfo)
  await settled()
  t.equal(endpoint.query(A, PORT), undefined)
  t.notOk(log.some(each => each.startsWith('secured')))
})

t.test('the queue of a peer is bounded, and so is what is held of it', async t => {
  const { send, system, endpoint } = await world({ maxQueuedDatagrams: 2 })
  system.answer = () => never
  send('one')
  send('two')
  t.equal(await send('three'), 'ENOBUFS')
  for (const text of ['1', '2', '3']) endpoint.receive(Buffer.from(text), B, PORT)
  t.equal(endpoint.stats.dropped.limit, 1)
  t.equal(endpoint.peerStats(B, PORT)?.dropped.limit, 1)
})

t.test('what comes is held until the peer is secured, then delivered in order', async t => {
  const { system, endpoint, log } = await world()
  let answer!: (info: SecurityInfo) => void
  system.answer = () => new Promise(resolve => (answer = resolve))
  for (const text of ['1', '2']) endpoint.receive(Buffer.from(text), A, PORT)
  await settled()
  t.same(log, ['query 10.0.0.1:5000'], 'no name: the peer has spoken first')
  answer(securedInfo)
  await settled()
  endpoint.receive(Buffer.from('3'), A, PORT)
  t.same(log.slice(1), [
    'secured 10.0.0.1:5000',
    'message 10.0.0.1:5000 1',
    'message 10.0.0.1:5000 2',
    'message 10.0.0.1:5000 3',
  ])
  t.same(endpoint.peers(), [{ address: A, port: PORT }])
})

t.test('nothing is delivered of a stranger that is not secured, and nobody is told', async t => {
  const { system, endpoint, log, pass } = await world()
  system.answer = () => clearInfo
  endpoint.receive(Buffer.from('in clear'), A, PORT)
  await settled()
  t.same(log, ['query 10.0.0.1:5000'])
  endpoint.receive(Buffer.from('again'), A, PORT)
  await settled()
  t.equal(log.length, 1, 'the system is not asked for every datagram')
  t.equal(endpoint.stats.dropped.unauthenticated, 2)
  await pass(1000)
  t.equal(endpoint.peerStats(A, PORT), undefined, 'it is forgotten')
  system.answer = () => securedInfo
  endpoint.receive(Buffer.from('secured'), A, PORT)
  await settled()
  t.equal(log.at(-1), 'message 10.0.0.1:5000 secured')
})

t.test('a stranger with a target name is asked about after the name is told', async t => {
  const { endpoint, log } = await world()
  await endpoint.setTargetName(A, 0, parseTargetName('host/a.example'))
  endpoint.receive(Buffer.from('x'), A, PORT)
  await settled()
  t.same(log.slice(1), [
    'name 10.0.0.1:5000 host/a.example',
    'query 10.0.0.1:5000',
    'secured 10.0.0.1:5000',
    'message 10.0.0.1:5000 x',
  ])
})

t.test('strangers only where they may come, and not more than there is room for', async t => {
  const { endpoint, log, send } = await world({ maxSessions: 3, maxSessionsPerHost: 2 })
  endpoint.acceptsStrangers = false
  endpoint.receive(Buffer.from('x'), A, PORT)
  t.equal(endpoint.stats.dropped.unknownPeer, 1)
  endpoint.acceptsStrangers = true
  for (const port of [1, 2, 3]) endpoint.receive(Buffer.from('x'), A, port)
  for (const port of [1, 2]) endpoint.receive(Buffer.from('x'), B, port)
  await settled()
  t.equal(endpoint.stats.dropped.limit, 2)
  t.equal(endpoint.peers().length, 3)
  endpoint.receive(Buffer.from('x'), A, 1)
  t.equal(await send('mine', '10.0.0.3'), 4, 'what the application sends makes room')
  t.ok(log.includes('closed 10.0.0.1:1') || log.includes('closed 10.0.0.1:2'))
  t.equal(endpoint.peers().length, 3)
})

t.test('both speak at once: one question, and both directions flow', async t => {
  const { send, endpoint, log, net, leaving } = await world()
  net.held = true
  const outcome = send('mine')
  await settled()
  endpoint.receive(Buffer.from('yours'), A, PORT)
  leaving[0]?.(null)
  t.equal(await outcome, 4)
  t.same(log, [
    'name 10.0.0.1:5000 10.0.0.1',
    'leaves 10.0.0.1:5000 mine',
    'query 10.0.0.1:5000',
    'secured 10.0.0.1:5000',
    'message 10.0.0.1:5000 yours',
  ])
})

t.test('an answer to a stranger needs no name; another name is not his (R20)', async t => {
  const { send, endpoint, log } = await world()
  endpoint.receive(Buffer.from('question'), A, PORT)
  await settled()
  t.equal(await send('answer'), 6)
  t.equal(await send('for db', A, PORT, 'db.example'), 'ERR_PEER_TARGET_NAME_MISMATCH')
  t.notOk(log.some(each => each.startsWith('name') || each.endsWith('for db')))
})

t.test('whoever begins from an address is not yet whom the application means by it', async t => {
  const { send, system, endpoint, log } = await world()
  const answers: ((info: SecurityInfo) => void)[] = []
  system.answer = () => new Promise(resolve => answers.push(resolve))
  endpoint.receive(Buffer.from('hi'), A, PORT)
  await settled()
  const outcome = send('for db', A, PORT, 'db.example')
  answers[0]?.(securedInfo)
  await settled()
  t.same(log, [
    'query 10.0.0.1:5000',
    'name 10.0.0.1:5000 db.example',
    'leaves 10.0.0.1:5000 for db',
    'query 10.0.0.1:5000',
  ])
  answers[1]?.(securedInfo)
  t.equal(await outcome, 6)
  t.same(log.slice(-2), ['secured 10.0.0.1:5000', 'message 10.0.0.1:5000 hi'])
})

t.test('a message for another name at the same address goes to nobody (R20)', async t => {
  const { send, log } = await world()
  const first = send('for a', A, PORT, 'a.example')
  const waiting = send('for b', A, PORT, 'b.example')
  t.equal(await first, 5)
  t.equal(await waiting, 'ERR_PEER_TARGET_NAME_MISMATCH')
  t.equal(await send('for b', A, PORT, 'b.example'), 'ERR_PEER_TARGET_NAME_MISMATCH')
  t.equal(await send('for a', A, PORT, 'A.example.'), 5, 'the same name')
  t.equal(await send('there', A), 5, 'an address means the peer that is there')
  t.notOk(log.some(each => each.endsWith('for b')))
})

t.test(
  'a delete that was given up: what the system has is not known, and nothing leaves',
  async t => {
    const { send, log, endpoint, system } = await world()
    const name = parseTargetName('host/a.example')
    await endpoint.setTargetName(A, PORT, name)
    system.deleted = () => Promise.reject(Object.assign(new Error('late'), { code: 'ETIMEDOUT' }))
    t.match(await failure(Promise.resolve(endpoint.deleteTargetName(A, PORT))), { message: 'late' })
    t.match(await failure(Promise.resolve(endpoint.setTargetName(A, PORT, name))), {
      code: 'EPROTO',
    })
    t.equal(await send('x'), 'EPROTO')
    t.notOk(log.some(each => each.startsWith('leaves')))
  },
)

t.test('a delete that failed: the name is told again before it is relied on', async t => {
  const { send, log, endpoint, system } = await world()
  const name = parseTargetName('host/a.example')
  await endpoint.setTargetName(A, PORT, name)
  system.deleted = () => Promise.reject(Object.assign(new Error('no'), { code: 'EINVAL' }))
  await failure(Promise.resolve(endpoint.deleteTargetName(A, PORT)))
  await endpoint.setTargetName(A, PORT, name)
  await send('x')
  t.same(log.slice(0, 4), [
    'name 10.0.0.1:5000 host/a.example',
    'delete 10.0.0.1:5000',
    'name 10.0.0.1:5000 host/a.example',
    'leaves 10.0.0.1:5000 x',
  ])
})

t.test(
  'a name whose setting was given up may still come: only the same one can be told',
  async t => {
    const { send, system, endpoint } = await world()
    system.named = () => Promise.reject(Object.assign(new Error('late'), { code: 'ETIMEDOUT' }))
    t.equal(await send('x', A, PORT, 'a.example'), 'ETIMEDOUT')
    system.named = () => {}
    t.equal(await send('x', A, PORT, 'b.example'), 'EPROTO')
    t.equal(endpoint.query(A, PORT), undefined)
  },
)

t.test('a name that is deleted while it is being set serves no authentication (R21)', async t => {
  const { send, log, endpoint, system } = await world()
  let take!: () => void
  system.named = () => new Promise(resolve => (take = resolve))
  endpoint.setTargetName(A, PORT, parseTargetName('host/a.example'))
  const outcome = send('x', A, PORT, 'h.example')
  endpoint.deleteTargetName(A, PORT)
  system.named = () => {}
  take()
  t.equal(await outcome, 1)
  t.same(log.slice(0, 4), [
    'name 10.0.0.1:5000 host/a.example',
    'delete 10.0.0.1:5000',
    'name 10.0.0.1:5000 h.example',
    'leaves 10.0.0.1:5000 x',
  ])
  t.equal(endpoint.query(A, PORT)?.peer?.targetName, 'h.example')
})

t.test('a name is not taken away from under an authentication that is under way', async t => {
  const { send, log, endpoint, system } = await world()
  let answer!: (info: SecurityInfo) => void
  system.answer = () => new Promise(resolve => (answer = resolve))
  await endpoint.setTargetName(A, PORT, parseTargetName('host/a.example'))
  const outcome = send('x')
  await settled()
  const deleted = endpoint.deleteTargetName(A, PORT)
  await settled()
  t.notOk(log.some(each => each.startsWith('delete')))
  answer(securedInfo)
  t.equal(await outcome, 1)
  t.equal(await deleted, true)
  t.same(log.slice(-2), ['secured 10.0.0.1:5000', 'delete 10.0.0.1:5000'])
  t.equal(endpoint.query(A, PORT)?.peer?.targetName, 'host/a.example')
})

t.test('who was refused, rests or is only asked about keeps nobody out', async t => {
  const { send, endpoint, system, log } = await world({ maxSessions: 10 })
  const honest = '10.9.9.9'
  system.answer = peer => (peer.startsWith('10.1') ? clearInfo : securedInfo)
  for (let i = 0; i < 15; i += 1) {
    endpoint.receive(Buffer.from('x'), `10.1.0.${i}`, PORT)
    await settled()
  }
  endpoint.receive(Buffer.from('honest'), honest, PORT)
  await settled()
  t.equal(log.at(-1), `message ${honest}:${PORT} honest`)
  system.answer = peer => (peer.startsWith('10.1') ? never : securedInfo)
  for (let i = 0; i < 15; i += 1) endpoint.receive(Buffer.from('x'), `10.1.1.${i}`, PORT)
  await settled()
  t.equal(await send('mine', B), 4)
  t.ok(endpoint.query(honest, PORT), 'it stays')
  for (let i = 0; i < 9; i += 1) t.equal(await send('mine', `10.2.0.${i}`), 4)
  t.equal(endpoint.peers().length, 10)
})

t.test('what is held is bounded for all peers together', async t => {
  const { endpoint, system } = await world({ maxQueuedDatagrams: 1 })
  system.answer = () => never
  for (let i = 0; i < 70; i += 1) endpoint.receive(Buffer.from('x'), `10.1.0.${i}`, PORT)
  t.same(endpoint.held, { datagrams: 64, bytes: 64 })
})

t.test('who the peer is, is asked again each minute of use', async t => {
  const { endpoint, system, log, pass } = await world()
  const known = (sid: string) => ({ ...securedInfo, peer: { names: [], user: { sid } } })
  system.answer = () => known('S-1-5-21-1')
  endpoint.receive(Buffer.from('x'), A, PORT)
  await settled()
  await pass(59_000)
  endpoint.receive(Buffer.from('x'), A, PORT)
  await settled()
  t.equal(log.filter(each => each.startsWith('query')).length, 1)
  system.answer = () => known('S-1-5-21-2')
  await pass(2000)
  endpoint.receive(Buffer.from('x'), A, PORT)
  await settled()
  t.equal(log.at(-1), 'secured 10.0.0.1:5000', 'as somebody else')
  t.match(endpoint.query(A, PORT), { peer: { user: { sid: 'S-1-5-21-2' } } })
  system.answer = () => Promise.reject(new Error('no answer'))
  await pass(61_000)
  endpoint.receive(Buffer.from('x'), A, PORT)
  await settled()
  t.equal(log.at(-1), 'closed 10.0.0.1:5000')
})

t.test('the name of a connection that nothing was sent to goes with the next one', async t => {
  const { endpoint, log } = await world()
  await endpoint.beforeConnect(A, 1, 'a.example')
  await endpoint.beforeConnect(A, 2, 'a.example')
  await settled()
  t.same(log, ['name 10.0.0.1:1 a.example', 'delete 10.0.0.1:1', 'name 10.0.0.1:2 a.example'])
})

t.test('a message that cannot leave fails alone', async t => {
  const { send, net, log } = await world()
  net.held = true
  const outcomes = Promise.all([send('one'), send('two')])
  net.held = false
  await settled()
  t.same(await outcomes, [3, 3])
  const failing = await world()
  failing.net.fails = Object.assign(new Error('no route'), { code: 'EHOSTUNREACH' })
  t.equal(await failing.send('x'), 'EHOSTUNREACH')
  failing.net.fails = null
  t.equal(await failing.send('y'), 1)
  t.notOk(log.some(each => each.startsWith('error')))
})

t.test('R18: a name comes too late once the peer was sent to', async t => {
  const { send, endpoint } = await world()
  const name = parseTargetName('host/late.example')
  const outcome = send('x')
  t.throws(() => endpoint.setTargetName(A, PORT, name), { code: 'EISCONN' })
  await outcome
  t.throws(() => endpoint.setTargetName(A, 0, name), { code: 'EISCONN' })
  await endpoint.setTargetName(B, 0, name)
})

t.test('R21: a deleted name is taken from the system, and the peer lives on', async t => {
  const { send, endpoint, log } = await world()
  await endpoint.setTargetName(A, 0, parseTargetName('host/a.example'))
  await send('x')
  t.equal(await endpoint.deleteTargetName(A, 0), true)
  t.same(log.slice(-2), ['delete 10.0.0.1:0', 'delete 10.0.0.1:5000'])
  t.equal(await endpoint.deleteTargetName(A, 0), false)
  t.equal(await send('y'), 1)
  t.notOk(log.some(each => each.startsWith('closed')))
})

t.test('a stranger of which nothing is heard is let go; it can come again', async t => {
  const { endpoint, log, pass } = await world({ idleTimeout: 60_000 })
  endpoint.receive(Buffer.from('x'), A, PORT)
  await settled()
  await pass(30_000)
  endpoint.receive(Buffer.from('y'), A, PORT)
  await pass(59_000)
  t.equal(log.at(-1), 'message 10.0.0.1:5000 y')
  await pass(1000)
  t.equal(log.at(-1), 'closed 10.0.0.1:5000')
  t.equal(endpoint.peerStats(A, PORT), undefined)
  endpoint.receive(Buffer.from('z'), A, PORT)
  await settled()
  t.equal(log.at(-1), 'message 10.0.0.1:5000 z')
})

t.test(
  'whom the application spoke to may speak again after a pause, and is asked about',
  async t => {
    const { send, endpoint, log, pass } = await world({
      idleTimeout: 60_000,
      rekeyAfter: 3_600_000,
    })
    endpoint.acceptsStrangers = false
    await send('x', A, PORT, 'a.example')
    await endpoint.setTargetName(B, PORT, parseTargetName('host/b.example'))
    await send('y', B)
    await pass(60_000)
    t.same(log.slice(-2).sort(), ['closed 10.0.0.1:5000', 'closed 10.0.0.2:5000'])
    t.same(endpoint.peers(), [])
    endpoint.receive(Buffer.from('news'), A, PORT)
    await settled()
    t.same(log.slice(-3), [
      'query 10.0.0.1:5000',
      'secured 10.0.0.1:5000',
      'message 10.0.0.1:5000 news',
    ])
    t.equal(endpoint.query(A, PORT)?.peer?.targetName, 'a.example')
    await pass(60_000 + 3_600_000)
    t.equal(log.at(-1), 'delete 10.0.0.1:5000', 'a derived name goes, one that was set stays')
    endpoint.receive(Buffer.from('late'), A, PORT)
    t.equal(endpoint.stats.dropped.unknownPeer, 1)
    await send('again')
    t.same(log.slice(-4), [
      'name 10.0.0.1:5000 10.0.0.1',
      'leaves 10.0.0.1:5000 again',
      'query 10.0.0.1:5000',
      'secured 10.0.0.1:5000',
    ])
  },
)

t.test(
  'a name can be set while a stranger is asked about, and it has to prove it (R20)',
  async t => {
    const { endpoint, system, log, pass } = await world()
    let answers: ((info: SecurityInfo) => void)[] = []
    system.answer = () => new Promise(resolve => answers.push(resolve))
    endpoint.receive(Buffer.from('x'), A, PORT)
    await settled()
    let refuse!: (error: Error) => void
    system.named = () => new Promise((_, reject) => (refuse = reject))
    const named = failure(
      Promise.resolve(endpoint.setTargetName(A, 0, parseTargetName('host/a.example'))),
    )
    for (const answer of answers) answer(securedInfo)
    await settled()
    t.notOk(
      log.some(each => each.startsWith('message')),
      'without the name it proves nothing',
    )
    refuse(new Error('no'))
    await named
    await settled()
    t.equal(endpoint.stats.dropped.unauthenticated, 1)
    answers = []
    system.named = () => {}
    await pass(1000)
    endpoint.receive(Buffer.from('y'), A, PORT)
    await settled()
    answers[0]?.(securedInfo)
    await settled()
    t.equal(log.at(-1), 'message 10.0.0.1:5000 y')
  },
)

t.test('a query asks the system; what is secured no longer is let go', async t => {
  const { send, endpoint, system, log } = await world()
  t.equal(await endpoint.refresh(A, PORT), undefined)
  await send('x')
  t.match(await endpoint.refresh(A, PORT), { secured: true, peer: { targetName: A } })
  system.answer = () => clearInfo
  t.equal(await endpoint.refresh(A, PORT), undefined)
  t.equal(endpoint.query(A, PORT), undefined)
  t.ok(log.includes('closed 10.0.0.1:5000'))
})

t.test('securing ahead is for protocols that can; a handshake under way is waited for', async t => {
  const { send, endpoint } = await world()
  t.match(await failure(endpoint.secure(A, PORT, A)), { code: 'EOPNOTSUPP' })
  const outcome = send('x')
  t.match(await endpoint.secure(A, PORT, A), { secured: true })
  t.match(await endpoint.secure(A, PORT, A), { secured: true })
  t.equal(await outcome, 1)
  t.throws(() => endpoint.exportKeyingMaterial(), { code: 'EOPNOTSUPP' })
})

t.test('closing a peer, and all of them: what waits fails, and no late answer counts', async t => {
  const { send, endpoint, system, log } = await world()
  let answer!: (info: SecurityInfo) => void
  system.answer = () => new Promise(resolve => (answer = resolve))
  const [first, waiting] = [send('x'), endpoint.secure(A, PORT, A)]
  const secured = failure(waiting)
  await settled()
  endpoint.closePeer(A, PORT)
  t.equal(await first, 'ECANCELED')
  t.match(await secured, { code: 'ECANCELED' })
  const second = send('y', B)
  await settled()
  endpoint.close()
  t.equal(await second, 'ECANCELED')
  answer(securedInfo)
  await settled()
  t.notOk(log.some(each => each.startsWith('secured')))
  t.equal(await send('z'), 'ENOTSOCK')
  endpoint.receive(Buffer.from('x'), A, PORT)
  t.equal(endpoint.deadline, Number.POSITIVE_INFINITY)
})

t.test(
  'an ICMP error is counted, and is a hint in the error of a peer that never answers',
  async t => {
    const { endpoint, system, pass } = await world({ handshakeTimeout: 100 })
    system.answer = () => never
    const told = new Promise<Error | null>(resolve =>
      endpoint.send(Buffer.from('x'), A, PORT, A, resolve),
    )
    await settled()
    endpoint.sendFailed(new Error('recvmsg ECONNREFUSED'), A, PORT)
    endpoint.sendFailed(new Error('recvmsg ECONNREFUSED'), B, PORT)
    await pass(100)
    t.match((await told)?.message, /ECONNREFUSED/)
    t.equal(endpoint.stats.dropped.icmp, 2)
  },
)

t.test('one peer however its address is written; a name that the host cannot be', async t => {
  const { send, endpoint, log } = await world()
  await send('x', '::ffff:10.0.0.1')
  await send('y', A)
  t.equal(log.filter(each => each.startsWith('query')).length, 1)
  t.ok(log.includes('name 10.0.0.1:5000 10.0.0.1'))
  t.equal(await send('z', B, PORT, '*.example'), 'EINVAL')
  t.notOk(log.some(each => each.startsWith(`leaves ${B}`)))
  t.throws(() => endpoint.query('nowhere', 1), { code: 'EINVAL' })
})

t.test('a shared port is refused (R9), and settings that the system cannot honour', async t => {
  await t.rejects(world({ sharePort: true }), { code: 'EOPNOTSUPP' })
})

t.test('the name before connect(2), and not again with the first message', async t => {
  const { send, endpoint, log, system } = await world()
  await endpoint.beforeConnect(A, PORT, 'a.example')
  t.same(log, ['name 10.0.0.1:5000 a.example'])
  await send('x', A, PORT, 'a.example')
  t.equal(log.filter(each => each.startsWith('name')).length, 1)
  system.named = () => Promise.reject(new Error('no'))
  t.match(await failure(endpoint.beforeConnect(B, PORT, 'b.example')), { message: 'no' })
})
