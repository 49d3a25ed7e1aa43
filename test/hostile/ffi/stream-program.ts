/** Goes through the life of secured streams, once for each case that it is given, and says what came of it. */
import { subscribe } from 'node:diagnostics_channel'
import { lookup } from 'node:dns'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import type { SecuritySettings } from '../../../src/model/settings.js'
import { setPolicy } from '../../../src/policy/current-policy.js'
import { currentPeer } from '../../../src/sockets/impersonation.js'
import { SecureServer } from '../../../src/sockets/secure-server.js'
import { SecureSocket } from '../../../src/sockets/secure-socket.js'
import {
  attempt,
  type Case,
  countUncaught,
  type Outcome,
  policies,
  Run,
  runTable,
} from './cases.js'

countUncaught()
const HOST = '127.0.0.1'
const key = Buffer.alloc(32, 7)
/** More than a stream's highWaterMark, so that 'drain' comes. */
const MUCH = Buffer.alloc(256 * 1024, 'x')
const { cases, identity } = JSON.parse(process.argv[2] as string) as {
  cases: Case[]
  identity: SecuritySettings
}

/** Where an error of the program's is the failure of that one thing, as documented, and nobody else's. */
const answersTo = new Set(['psk', 'ticketKeys'])

const actions: Record<
  string,
  (run: Run, socket: SecureSocket | undefined, server: SecureServer) => void
> = {
  end: (_, socket) => attempt(() => socket?.end('end')),
  destroy: (_, socket) => attempt(() => socket?.destroy()),
  'destroy twice': (_, socket) => {
    attempt(() => socket?.destroy(new Error('the first')))
    attempt(() => socket?.destroy(new Error('the second')))
  },
  reset: (_, socket) => attempt(() => socket?.resetAndDestroy()),
  throw: run => run.fail(),
  'destroy and throw': (run, socket) => {
    attempt(() => socket?.destroy())
    globalThis.gc?.()
    run.fail()
  },
  'close the server': (_, socket, server) => {
    attempt(() => server.close())
    attempt(() => server.close())
    attempt(() => socket?.destroy())
  },
  'write again': (_, socket) => {
    for (let i = 0; i < 3; i++) attempt(() => socket?.write('again'))
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
/** The socket of which our channels of diagnostics told last; the server itself may not have shown it yet. */
const told = new WeakMap<Run, SecureSocket>()

/** Whose sockets they are, and by the ports of servers whose clients. */
const owners = new Map<unknown, { readonly run: Run; readonly role: string }>()
for (const name of ['secured', 'failed', 'closed', 'insecure'])
  subscribe(`secure-socket:tls:${name}`, message => {
    const { role, peer, socket } = message as {
      role: string
      peer: { port: number }
      socket?: SecureSocket
    }
    const owner =
      owners.get(socket) ??
      // A server's, before the server itself has shown it.
      owners.get(role === 'server' && socket ? socket.localPort : undefined) ??
      owners.get(role === 'client' ? `to ${peer.port}` : `from ${peer.port}`)
    // The bystander has a peer with the same port.
    if (owner?.role !== role) return
    if (socket) told.set(owner.run, socket)
    owner.run.at(role, `channel ${name}`)()
  })

const outcomes = await runTable(cases, live)
process.stdout.write(`${JSON.stringify({ outcomes })}\n`)

async function live(what: Case): Promise<Outcome> {
  // The one before may have forbidden it at its very end.
  if (what.action === 'forbid') setPolicy(policies.none)
  const run = new Run(what, () => {
    actions[what.action]?.(
      run,
      what.role === 'server' ? (accepted ?? told.get(run)) : client,
      server,
    )
  })
  let accepted: SecureSocket | undefined
  const client = socketOf(
    run,
    'client',
    new SecureSocket({ security: settings(run, 'client'), ...readers(run), ...signalOf(run) }),
  )
  owners.set(client, { run, role: 'client' })
  const server = new SecureServer({ security: settings(run, 'server') })
  run.begin()
  server.on('tlsClientError', run.at('server', 'tlsClientError'))
  server.on('insecure', socket => {
    if (socket.destroyed) run.faults.push("'insecure' of a destroyed socket")
    accepted ??= socketOf(run, 'server', socket)
    run.at('server', 'insecure')()
  })
  for (const event of ['listening', 'connection', 'keylog'] as const)
    if (event !== 'connection') server.on(event, run.at('server', event))
  server.on('close', run.at('server', 'server close'))
  server.on('connection', (socket: SecureSocket) => {
    if (socket.destroyed) run.faults.push("'connection' of a destroyed socket")
    if (accepted && accepted !== socket) {
      // The bystander's.
      socket.on('error', () => {}).pipe(socket)
      return
    }
    accepted ??= socketOf(run, 'server', socket)
    owners.set(accepted, { run, role: 'server' })
    socket.once('data', () => attempt(() => socket.write(MUCH, run.at('server', 'write callback'))))
    run.at('server', 'connection')()
  })

  await run.step(resolve => {
    server.on('listening', resolve)
    server.on('close', resolve)
    attempt(() => server.listen(0, HOST, run.at('server', 'listen callback')))
  })
  const { port } = (server.address() as AddressInfo | null) ?? { port: 9 }
  owners.set(port, { run, role: 'server' })
  if (['tlsClientError', 'channel failed'].includes(what.hook) && what.role === 'server')
    await refusedClient(run, port)
  if (what.hook === 'insecure' || what.hook === 'channel insecure') await clearClient(run, port)
  const settled = run.at('client', 'promise')
  client.secured.then(settled, settled)
  await run.step(resolve => {
    client.on('connect', resolve)
    client.on('close', resolve)
    attempt(() =>
      client.connect(
        { port, host: 'localhost', lookup: lookUp(run) as never },
        run.at('client', 'connect callback'),
      ),
    )
  })
  await run.step(resolve => {
    client.once('close', resolve)
    if (accepted) resolve()
    else server.once('connection', resolve)
  })
  await run.step(resolve => {
    // All of it has come.
    let length = 0
    client.on('data', chunk => {
      length += chunk.length
      if (length >= MUCH.length) resolve()
    })
    client.on('close', resolve)
    attempt(() => client.write('ask', run.at('client', 'write callback')))
  })
  // Of what is under way nothing is lost with a reset, so it would be no error.
  if (what.hook !== 'error')
    await run.step(resolve => {
      client.on('drain', resolve)
      client.on('close', resolve)
      attempt(() => client.write(MUCH))
      accepted?.resume()
    })
  if (what.hook === 'abort listener')
    await run.step(resolve => {
      aborts.get(run)?.abort()
      resolve()
    })
  if (what.hook === 'channel failed' && what.role === 'client') await refusingServer(run, port)
  if (what.hook === 'timeout')
    for (const socket of [client, accepted])
      await run.step(resolve => {
        socket?.once('timeout', resolve)
        socket?.setTimeout(50)
        if (!socket) resolve()
      })
  if (what.hook === 'error') {
    // What the other end does so is an error here.
    await run.step(resolve => {
      const [one, other] = what.role === 'server' ? [accepted, client] : [client, accepted]
      one?.on('close', resolve)
      other?.resetAndDestroy()
    })
  }
  if (what.action === 'forbid') setPolicy(policies.none)
  if (server.listening) await run.must('others go on', () => isServed(port, settings(run, '')))
  attempt(() => client.end(run.at('client', 'end callback')))
  attempt(() => accepted?.end(run.at('server', 'end callback')))
  await run.step(resolve => whenClosed(run, client, resolve))
  await run.step(resolve => whenClosed(run, accepted ?? client, resolve))
  client.destroy()
  accepted?.destroy()
  const stopped = new Promise<unknown>(resolve => server.close(resolve))
  attempt(() => server.close(run.at('server', 'server close callback')))
  await stopped
  const all = accepted ? [client, accepted] : [client]
  await run.must('all are closed', () => all.every(each => run.isClosed(each)))
  const throws = what.action.includes('throw') && !answersTo.has(what.hook) ? 1 : 0
  if (throws) await run.must('the error is told', () => run.uncaught > 0)
  return run.end(throws)
}

function socketOf(run: Run, role: string, socket: SecureSocket): SecureSocket {
  run.watch(socket)
  let errors = 0
  socket.on('error', () => {
    errors++
    if (errors > 1) run.faults.push(`${errors} errors of one socket`)
  })
  for (const event of [
    'lookup',
    'connectionAttempt',
    'connect',
    'ready',
    'keylog',
    'data',
    'drain',
    'end',
    'finish',
    'timeout',
    'close',
    'error',
  ])
    socket.on(event, run.at(role, event))
  socket.prependListener('connect', () => {
    if (socket.destroyed) run.faults.push("'connect' of a destroyed socket")
  })
  if (run.what.hook === 'loop') run.takes(socket, run.at(role, 'loop'))
  if (run.what.hook.startsWith('impersonat'))
    socket.on('data', () => {
      if (!run.acted) impersonate(run, role, socket)
    })
  return socket
}

function whenClosed(run: Run, socket: SecureSocket, then: () => void): void {
  if (run.isClosed(socket)) then()
  else socket.on('close', then)
}

/** Acts inside of it; what is thrown there is the caller's, and nobody acts for the peer any more. */
function impersonate(run: Run, role: string, socket: SecureSocket): void {
  const act = () => {
    if (currentPeer() === undefined) run.faults.push('nobody is impersonated')
    run.at(role, run.what.hook)()
  }
  try {
    if (run.what.hook === 'impersonate') socket.impersonatePeer(act)
    else
      socket
        .impersonatePeer(async () => {
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

/** One that speaks no TLS. */
async function refusedClient(run: Run, port: number): Promise<void> {
  await run.step(resolve => {
    const stranger = net.connect(port, HOST, () => {
      owners.set(`from ${stranger.localPort}`, { run, role: 'server' })
      stranger.write('this is no hello')
    })
    stranger
      .on('error', () => {})
      .on('close', resolve)
      .resume()
  })
}

/** One that is let in in clear. */
async function clearClient(run: Run, port: number): Promise<void> {
  await run.step(resolve => {
    const stranger = net.connect(port, HOST, () => {
      owners.set(`from ${stranger.localPort}`, { run, role: 'server' })
      stranger.end('in clear')
    })
    stranger
      .on('error', () => {})
      .on('close', resolve)
      .resume()
  })
}

/** A server that is not who it should be. */
async function refusingServer(run: Run, port: number): Promise<void> {
  await run.step(resolve => {
    const socket = new SecureSocket({ security: settings(run, 'client') })
    owners.set(`to ${port}`, { run, role: 'client' })
    socket.on('error', () => {}).on('close', resolve)
    socket.connect({ port, host: HOST, peerTargetName: 'host/nobody.example' } as never)
  })
  owners.delete(`to ${port}`)
}

function signalOf(run: Run) {
  const { action, hook } = run.what
  if (action !== 'abort' && hook !== 'abort listener') return {}
  const controller = new AbortController()
  aborts.set(run, controller)
  // Before the socket's own.
  controller.signal.addEventListener('abort', run.at('client', 'abort listener'))
  return { signal: controller.signal }
}

/** Data as it comes, without a stream, where that is what is tried. */
function readers(run: Run) {
  if (!run.what.hook.startsWith('onread')) return {}
  const asked = run.at('client', 'onread buffer')
  const called = run.at('client', 'onread')
  const callback = () => {
    called()
    return true
  }
  const buffer = Buffer.alloc(16_384)
  if (run.what.hook === 'onread') return { onread: { buffer, callback } }
  let isFirst = true
  return {
    onread: {
      buffer() {
        // The first is asked for in the constructor, by node:net too.
        if (!isFirst) asked()
        isFirst = false
        return buffer
      },
      callback: () => true,
    },
  }
}

function lookUp(run: Run) {
  const looked = run.at('client', 'look-up')
  return (name: string, options: object, callback: (...args: unknown[]) => void) => {
    lookup(name, { ...options, family: 4 }, (...found: unknown[]) => {
      try {
        looked()
      } finally {
        callback(...found)
      }
    })
  }
}

function settings(run: Run, role: string): SecuritySettings {
  const { hook } = run.what
  const { ca } = identity
  const keylog = hook === 'keylog' && role !== '' ? { keylog: true } : {}
  if (hook === 'psk') {
    const looked = run.at(role, 'psk')
    if (role !== 'server') return { psk: { identity: 'me', key }, maxVersion: 'TLSv1.3' }
    return {
      psk: name => {
        looked()
        return name === 'me' ? key : undefined
      },
    }
  }
  if (hook.startsWith('impersonat'))
    return { ...identity, ...(role === 'server' ? { requestCert: true } : {}) }
  if (role !== 'server') return { ca, ...keylog }
  const inClear = hook === 'insecure' || hook === 'channel insecure'
  const lax =
    inClear && role === 'server' ? { guaranteeEncryption: false, allowInsecure: true } : {}
  if (hook !== 'ticketKeys') return { ...identity, requestCert: false, ...keylog, ...lax }
  const asked = run.at(role, 'ticketKeys')
  return {
    ...identity,
    ticketKeys: () => {
      asked()
      return Buffer.alloc(48, 3)
    },
  }
}

async function isServed(port: number, security: SecuritySettings): Promise<boolean> {
  const socket = new SecureSocket({ security })
  socket.on('error', () => {})
  socket.connect(port, HOST)
  socket.write('ping')
  const answer = await Promise.race([once(socket, 'data').catch(() => []), once(socket, 'close')])
  socket.destroy()
  return answer.length > 0 && String(answer[0]) === 'ping'
}
