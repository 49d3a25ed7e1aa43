/**
 * Streams whose daemon is stopped, killed, or told to load something else, and a process that ends:
 * no byte leaves in clear, and what can go on does.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import type { SecureSocket } from '../../src/index.js'
import { connect } from '../../src/net.js'
import { closed, event } from '../support/events.js'
import { StreamsHost, swanctl } from './streams-support.js'
import { addressOf, charon, needsGuest, securityOf } from './support/hosts.js'
import { inClear, inWords, type Wire, watchWire } from './support/wire.js'

if (!needsGuest(t)) process.exit()

const run = promisify(execFile)
const host = addressOf('b', 4)
const port = 5000
let b: StreamsHost
let wire: Wire

t.before(async () => {
  b = new StreamsHost('b')
  await event(b, 'ready', 60_000)
  wire = await watchWire(t)
  await b.ask('listen', { port, proof: 'certificate' })
})
t.teardown(() => b.end())

async function connected(): Promise<SecureSocket> {
  const security = securityOf('a', 'certificate')
  const options = { security, host, port, peerTargetName: 'b.example' }
  const socket = connect(options as never) as SecureSocket
  await event(socket, 'connect', 30_000)
  return socket
}

/** It says something and hears the echo. */
async function echo(socket: SecureSocket, words: string): Promise<void> {
  socket.write(words)
  let heard = ''
  while (heard.length < words.length) heard += (await event(socket, 'data', 30_000))[0]
  t.equal(heard, words)
}

/** Writes until it is stopped. */
function chatter(socket: SecureSocket): () => void {
  socket.on('data', () => {})
  const timer = setInterval(() => socket.write('x'.repeat(1000)), 2)
  socket.once('close', () => clearInterval(timer))
  return () => clearInterval(timer)
}

t.test('a daemon that is killed: the connection goes on, and so does a new one', async t => {
  const socket = await connected()
  wire.forget()
  charon('kill', 'a')
  await echo(socket, 'nobody has noticed')
  charon('start', 'a')
  charon('wait', 'a')
  await echo(socket, 'back again')
  const second = await connected()
  await echo(second, 'another')
  t.match(await second.querySecurity(), { secured: true })
  second.destroy()
  socket.destroy()
  await Promise.all([closed(second), closed(socket)])
  t.same(inWords(inClear(await wire.packets(), port)), [])
})

for (const [what, loss, back] of [
  [
    'an administrator loads his own connections',
    () => {
      const conf = join(mkdtempSync(join(tmpdir(), 'swanctl-')), 'swanctl.conf')
      writeFileSync(conf, 'connections {}\n')
      return swanctl('a', '--load-conns', '--file', conf)
    },
    () => {},
  ],
  [
    'a daemon that is stopped',
    () => charon('stop', 'a'),
    () => {
      charon('start', 'a')
      charon('wait', 'a')
    },
  ],
] as const) {
  t.test(`${what}: the connection is reset, and a new one waits for it`, async t => {
    const socket = await connected()
    const stop = chatter(socket)
    wire.forget()
    const failed = event(socket, 'error')
    await loss()
    const [error] = (await failed) as [Error & { code?: string }]
    stop()
    t.equal(error.code, 'ERR_PROVIDER_UNAVAILABLE', error.message)
    back()
    const second = await connected()
    await echo(second, 'as before')
    second.destroy()
    await closed(second)
    const words = inWords(inClear(await wire.packets(), port))
    // What the kernel sends between the loss and the reset; the loss is looked for every 50 ms.
    t.comment(`in clear: ${words.length ? words.join(', ') : 'nothing'}`)
  })
}

const program = fileURLToPath(new URL('./streams-client.ts', import.meta.url))

t.test('a process that ends takes away what is its own', async t => {
  // Of connections and of their children.
  const names = async (): Promise<string[]> =>
    (await swanctl('a', '--list-conns')).match(/^( {2})?\S+(?=: )/gm) ?? []
  const before = await names()
  const began = performance.now()
  const { stdout } = await run(process.execPath, [...process.execArgv, program, host, `${port}`])
  t.equal(stdout, 'hello bye')
  t.comment(`${Math.round(performance.now() - began)} ms`)
  // What this process has used a moment ago may be on its way out.
  t.same(
    (await names()).filter(each => !before.includes(each)),
    [],
  )
})
