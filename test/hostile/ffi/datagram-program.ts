/** Goes through the life of datagram sockets, once for each case that it is given, and says what came of it. */
import { createSocket } from 'node:dgram'
import { subscribe } from 'node:diagnostics_channel'
import { lookup } from 'node:dns'
import { once } from 'node:events'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { setPolicy } from '../../../src/policy/current-policy.js'
import { createSocket as createSecureSocket } from '../../../src/promises.js'
import { currentPeer } from '../../../src/sockets/impersonation.js'
import { SecureDgramSocket } from '../../../src/sockets/secure-dgram-socket.js'
import { countOpenssl } from '../../support/openssl-objects.js'
import {
  attempt,
  type Case,
  countUncaught,
  type Outcome,
  otherRole,
  policies,
  Run,
  runTable,
} from './cases.js'

const openssl = countOpenssl()
countUncaught()
const HOST = '127.0.0.1'
const key = Buffer.alloc(16, 7)
const { cases, identity } = JSON.parse(process.argv[2] as string) as {
  cases: Case[]
  identity: DatagramSecuritySettings
}

/** Where an error of the program's is the failure of that one thing, as documented, and nobody else's. */
const answersTo = new Set(['psk', 'ticketKeys'])

const silent = createSocket('udp4').bind(0, HOST)
await once(silent, 'listening')
/** What has reached somebody who cannot read, and is no record of DTLS. */
let inClear = 0
silent.on('message', ([type = 0]) => {
  if (type < 20 || type > 25) inClear++
})

const actions: Record<
  string,
  (run: Run, socket: SecureDgramSocket, other: SecureDgramSocket) => void
> = {
  close: (_, socket) => attempt(() => socket.close()),
  'close twice': (_, socket) => {
    attempt(() => socket.close())
    attempt(() => socket.close())
  },
  destroy: (_, socket) => attempt(() => socket[Symbol.asyncDispose]()),
  'close both': (_, socket, other) => {
    attempt(() => other.close())
    attempt(() => socket.close())
    globalThis.gc?.()
  },
  throw: run => run.fail(),
  'close and throw': (run, socket) => {
    attempt(() => socket.close())
    run.fail()
  },
  forget: (_, socket, other) => {
    for (const peer of socket.peers()) attempt(() => socket.closePeer(peer))
    attempt(() => socket.closePeer(at(other)))
    attempt(() => socket.deletePeerTargetName(at(other)))
  },
  'send again': (_, socket, other) => {
    for (let i = 0; i < 3; i++) attempt(() => socket.send('again', at(other).port, HOST, () => {}))
    attempt(() => socket.secure(at(other)))
    attempt(() => socket.send('again', silent.address().port, HOST, () => {}))
  },
  abort: run => aborts.get(run)?.abort(),
  reload: () => {
    setPolicy(isOther ? policies.none : policies.other)
    isOther = !isOther
  },
  forbid: () => setPolicy(policies.strict),
}
let isOther = false
const aborts = new WeakMap<Run, AbortController>()

/** Whose ports they are: what our channels of diagnostics tell is about a peer, and not about a socket. */
const owners = new Map<number, { readonly run: Run; readonly role: string }>()
for (const name of ['secured', 'failed', 'closed', 'dropped'])
  subscribe(`secure-socket:dtls:${name}`, message => {
    const owner = owners.get((message as { peer: { port: number } }).peer.port)
    owner?.run.at(otherRole(owner.role), `channel ${name}`)()
  })

const ports = new WeakMap<SecureDgramSocket, number>()

const outcomes = await runTable(cases, live)
silent.close()
for (let turn = 0; turn < 10 && openssl().alive.SSL > 0; turn++) {
  globalThis.gc?.()
  await new Promise(resolve => setTimeout(resolve, 20))
}
const { alive, faults } = openssl()
process.stdout.write(`${JSON.stringify({ outcomes, alive, faults, inClear })}\n`)

async function live(what: Case): Promise<Outcome> {
  // The one before may have forbidden it at its very end.
  if (what.action === 'forbid') setPolicy(policies.none)
  const run = new Run(what, () => {
    const [subject, other] = what.role === 'server' ? [server, client] : [client, server]
    actions[what.action]?.(run, subject, other)
  })
  const server: SecureDgramSocket = socketOf(run, 'server')
  const client: SecureDgramSocket = socketOf(run, 'client')
  const bystander = run.watch(new SecureDgramSocket({ type: 'udp4', security: settings(run, '') }))
  const goes = run.at('client', 'send callback')
  const [subject, other] = what.role === 'server' ? [server, client] : [client, server]
  const lonely = createSocket('udp4').bind(0, HOST)
  await once(lonely, 'listening')
  run.begin()

  if (what.hook === 'bind error')
    await run.step(resolve => {
      subject.on('error', resolve)
      attempt(() => subject.bind(silent.address().port, HOST))
    })

  await run.step(resolve => {
    server.on('listening', resolve)
    attempt(() => server.bind(0, HOST, run.at('server', 'bind callback')))
  })
  await run.step(resolve => {
    client.on('listening', resolve)
    attempt(() => client.bind(0, HOST, run.at('client', 'bind callback')))
  })
  const isHeard = () => isServed(bystander, server)
  if (!run.isClosed(server)) await run.step(resolve => isHeard().then(resolve))
  // And not before: the other server's peers are none of this run's.
  for (const [role, socket] of [
    ['client', client],
    ['server', server],
  ] as const)
    owners.set(at(socket).port, { run, role })
  await run.step(resolve => {
    const told = run.at('client', 'promise')
    attempt(() => {
      const secured = client.secure(at(server))
      secured.then(resolve, resolve)
      secured.then(told, told)
    })
  })
  await run.step(resolve => {
    client.on('message', resolve)
    attempt(() => client.send('ask', at(server).port, HOST, goes))
  })
  if (what.hook === 'channel dropped')
    await run.step(resolve => {
      // As if the network had brought it.
      const from = { address: HOST, port: at(other).port }
      subject.emit('message', Buffer.alloc(40, 0xee), from as never)
      setImmediate(resolve)
    })
  if (what.hook === 'abort listener')
    await run.step(resolve => {
      aborts.get(run)?.abort()
      resolve()
    })
  if (what.hook === 'error')
    await run.step(resolve => {
      subject.on('error', resolve)
      // Without a callback.
      attempt(() => subject.send('x', 9, 'nowhere.invalid'))
    })
  await run.step(resolve => {
    server.on('peerClose', resolve)
    attempt(() => client.closePeer(at(server)))
  })
  // Now the other way round.
  await run.step(resolve => {
    const told = run.at('server', 'promise')
    attempt(() => {
      const secured = server.secure(at(client))
      secured.then(resolve, resolve)
      secured.then(told, told)
    })
  })
  for (const [role, socket] of [
    ['client', client],
    ['server', server],
  ] as const) {
    if (what.role !== role) continue
    if (what.hook === 'peerError')
      await run.step(resolve => {
        const nobody = { address: HOST, port: silent.address().port }
        socket.on('peerError', resolve)
        // What cannot be had with a key alone.
        attempt(() => socket.setPeerTargetName({ ...nobody, targetName: 'nobody.example' }))
        attempt(() => socket.send('x', nobody.port, HOST, resolve))
      })
    if (what.hook === 'channel failed')
      await run.step(resolve => {
        const { port } = lonely.address()
        owners.set(port, { run, role: otherRole(role) })
        attempt(() => socket.send('x', port, HOST, resolve))
      })
    if (what.hook === 'look-up')
      await run.step(resolve =>
        attempt(() => socket.send('x', at(server).port, 'localhost', resolve)),
      )
    if (what.hook === 'connect')
      await run.step(resolve => {
        socket.on('connect', resolve)
        attempt(() => socket.connect(at(role === 'client' ? server : client).port, HOST))
      })
    if (what.hook === 'connect callback')
      await run.step(resolve => {
        socket.on('connect', resolve)
        const port = at(role === 'client' ? server : client).port
        attempt(() => socket.connect(port, HOST, run.at(role, 'connect callback')))
      })
  }
  lonely.close()
  if (what.action === 'forbid') setPolicy(policies.none)
  // What sends in its 'error' is bound by that, and strangers do not count on it.
  const isUnasked = what.hook === 'bind error' && what.action === 'send again'
  const isOn =
    !isUnasked && !run.isClosed(server) && !what.hook.startsWith('connect') && isOpen(server)
  if (isOn) await run.must('others go on', isHeard)
  for (const [role, socket] of [
    ['client', client],
    ['server', server],
    ['', bystander],
  ] as const) {
    for (const peer of peersOf(socket)) attempt(() => socket.closePeer(peer))
    attempt(() => socket.close(run.at(role, 'close callback')))
  }
  await run.must('all are closed', () => [client, server, bystander].every(s => run.isClosed(s)))
  const throws = what.action.includes('throw') && !answersTo.has(what.hook) ? 1 : 0
  if (throws) await run.must('the error is told', () => run.uncaught > 0)
  return run.end(throws)
}

function socketOf(run: Run, role: string): SecureDgramSocket {
  const looked = run.at(role, 'look-up')
  const { action, hook } = run.what
  const controller = new AbortController()
  const isAborted = role === run.what.role && (action === 'abort' || hook === 'abort listener')
  if (isAborted) {
    aborts.set(run, controller)
    // Before the socket's own.
    controller.signal.addEventListener('abort', run.at(role, 'abort listener'))
  }
  const options = {
    type: 'udp4' as const,
    ...(isAborted ? { signal: controller.signal } : {}),
    security: settings(run, role),
    lookup: ((name: string, options: object, callback: (...args: unknown[]) => void) => {
      if (name === 'nowhere.invalid') {
        setImmediate(callback, Object.assign(new Error('no such host'), { code: 'ENOTFOUND' }))
        return
      }
      lookup(name, options, (...found: unknown[]) => {
        try {
          looked()
        } finally {
          callback(...found)
        }
      })
    }) as never,
  }
  const datagrams = createSecureSocket(options)
  if (hook === 'loop') run.takes(datagrams, run.at(role, 'loop'))
  const socket = run.watch(datagrams.socket)
  for (const event of [
    'listening',
    'message',
    'secure',
    'peerClose',
    'peerError',
    'keylog',
    'connect',
    'close',
    'error',
  ] as const)
    socket.on(event as 'close', run.at(role, event))
  socket.on('error', run.at(role, 'bind error'))
  tellsTheTruth(run, socket)
  if (hook.startsWith('impersonat'))
    socket.on('message', (_, { port }) => impersonate(run, role, socket, port))
  const answered = run.at(role, 'send callback')
  socket.on('message', (message, { port }) => {
    if (message.toString() === 'ask') attempt(() => socket.send('answer', port, HOST, answered))
  })
  return socket
}

/** Nobody is secured at a socket that is closed, and each is told of once, until his end is told. */
function tellsTheTruth(run: Run, socket: SecureDgramSocket): void {
  const secured = new Set<number>()
  socket.prependListener('secure', ({ port }) => {
    // One that closes waits for the handshakes of what was sent before.
    const isAwaited = socket.getSendQueueCount() > 0
    if (!isOpen(socket) && !isAwaited) run.faults.push("'secure' of a closed socket")
    if (secured.has(port)) run.faults.push("'secure' twice")
    secured.add(port)
  })
  socket.prependListener('message', () => {
    if (!isOpen(socket)) run.faults.push("'message' of a closed socket")
  })
  socket.prependListener('peerClose', ({ port }) => {
    if (!secured.delete(port)) run.faults.push("'peerClose' of nobody")
  })
}

/** Acts inside of it; what is thrown there is the caller's, and nobody acts for the peer any more. */
function impersonate(run: Run, role: string, socket: SecureDgramSocket, port: number): void {
  const act = () => {
    if (currentPeer() === undefined) run.faults.push('nobody is impersonated')
    run.at(role, run.what.hook)()
  }
  try {
    if (run.what.hook === 'impersonate') socket.impersonatePeer({ address: HOST, port }, act)
    else
      socket
        .impersonatePeer({ address: HOST, port }, async () => {
          await new Promise(setImmediate)
          act()
        })
        .catch(error =>
          queueMicrotask(() => {
            throw error
          }),
        )
  } finally {
    if (currentPeer() !== undefined) run.faults.push('the peer is still impersonated')
  }
}

function settings(run: Run, role: string): DatagramSecuritySettings {
  const { hook } = run.what
  const looked = run.at(role, 'psk')
  const asked = run.at(role, 'ticketKeys')
  const common: DatagramSecuritySettings = {
    ...(hook === 'channel failed' && role === run.what.role ? { handshakeTimeout: 4000 } : {}),
    ...(hook === 'keylog' && role !== '' ? { keylog: true } : {}),
  }
  if (hook === 'ticketKeys')
    return {
      ...identity,
      ...common,
      ticketKeys: () => {
        asked()
        return Buffer.alloc(48, 3)
      },
    }
  if (hook === 'certificates' || hook === 'keylog') return { ...identity, ...common }
  return {
    ...common,
    psk: [
      { identity: role || 'bystander', key },
      identity => {
        looked()
        return ['client', 'server', 'bystander'].includes(identity) ? key : undefined
      },
    ],
  }
}

/** Does the server answer it? */
async function isServed(socket: SecureDgramSocket, server: SecureDgramSocket): Promise<boolean> {
  const { port } = at(server)
  const answer = new Promise<boolean>(resolve => {
    socket.once('message', () => resolve(true))
    setTimeout(resolve, 1000, false).unref()
  })
  await new Promise<void>(resolve => socket.send('ask', port, HOST, () => resolve()))
  return await answer
}

function isOpen(socket: SecureDgramSocket): boolean {
  try {
    return socket.address().port > 0
  } catch {
    return false
  }
}

function peersOf(socket: SecureDgramSocket) {
  try {
    return socket.peers()
  } catch {
    return []
  }
}

/** Where it is, or was. */
function at(socket: SecureDgramSocket) {
  if (isOpen(socket)) ports.set(socket, socket.address().port)
  return { address: HOST, port: ports.get(socket) ?? 9 }
}
