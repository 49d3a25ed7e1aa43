/** Goes through the life of secured streams, once for each case that it is given, and says what came of it. */
import { lookup } from 'node:dns'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { SecuritySettings } from '../../../src/model/settings.js'
import { SecureServer } from '../../../src/sockets/secure-server.js'
import { SecureSocket } from '../../../src/sockets/secure-socket.js'
import { attempt, type Case, countUncaught, type Outcome, Run, runAll } from './cases.js'

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
}

const outcomes = await runAll(cases, live)
process.stdout.write(`${JSON.stringify({ outcomes })}\n`)

async function live(what: Case): Promise<Outcome> {
  const run = new Run(what, () => {
    actions[what.action]?.(run, what.role === 'server' ? accepted : client, server)
  })
  let accepted: SecureSocket | undefined
  const client = socketOf(
    run,
    'client',
    new SecureSocket({ security: settings(run, 'client'), ...readers(run) }),
  )
  const server = new SecureServer({ security: settings(run, 'server') })
  run.begin()
  server.on('tlsClientError', () => {})
  for (const event of ['listening', 'connection', 'keylog'] as const)
    if (event !== 'connection') server.on(event, run.at('server', event))
  server.on('close', run.at('server', 'server close'))
  server.on('connection', (socket: SecureSocket) => {
    if (accepted) {
      // The bystander's.
      socket.on('error', () => {}).pipe(socket)
      return
    }
    accepted = socketOf(run, 'server', socket)
    socket.once('data', () => attempt(() => socket.write(MUCH, run.at('server', 'write callback'))))
    run.at('server', 'connection')()
  })

  await run.step(resolve => {
    server.on('listening', resolve)
    server.on('close', resolve)
    attempt(() => server.listen(0, HOST, run.at('server', 'listen callback')))
  })
  const { port } = (server.address() as AddressInfo | null) ?? { port: 9 }
  const told = run.at('client', 'promise')
  client.secured.then(told, told)
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
  return socket
}

function whenClosed(run: Run, socket: SecureSocket, then: () => void): void {
  if (run.isClosed(socket)) then()
  else socket.on('close', then)
}

/** Data as it comes, without a stream, where that is what is tried. */
function readers(run: Run) {
  if (run.what.hook !== 'onread') return {}
  const called = run.at('client', 'onread')
  const callback = () => {
    called()
    return true
  }
  return { onread: { buffer: Buffer.alloc(16_384), callback } }
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
  if (role !== 'server') return { ca, ...keylog }
  if (hook !== 'ticketKeys') return { ...identity, ...keylog }
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
