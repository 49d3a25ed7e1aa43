/** `keylog` as a file, and Node's own `--tls-keylog`: the secrets of streams and of datagrams. */
import { execFile } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { createConnection } from '../../src/net.js'
import { keylogOption } from '../../src/providers/keylog.js'
import { event, text } from '../support/events.js'
import { listening, trust } from '../support/secured.js'
import { boundSocket, datagramSocket, identified, sent } from '../support/secured-datagrams.js'

t.test('a stream appends to the file, at either end, and gives the event too', async t => {
  const folder = t.testdir()
  const [theirs, ours] = [join(folder, 'server.log'), join(folder, 'client.log')]
  const { port } = await listening(t, { security: { keylog: theirs } }, socket => socket.end())
  const socket = createConnection({
    port,
    host: '127.0.0.1',
    security: { ...(await trust()), keylog: pathToFileURL(ours) },
  })
  let lines = ''
  socket.on('keylog', line => {
    lines += line
  })
  await text(socket)
  t.match(lines, /^CLIENT_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]{64,}\n/m)
  t.equal(readFileSync(ours, 'utf8'), lines)
  t.equal(sorted(theirs), sorted(ours), 'both ends have the same secrets')
})

t.test('so does a datagram socket', async t => {
  const folder = t.testdir()
  const [theirs, ours] = [join(folder, 'b.log'), join(folder, 'a.log')]
  const identity = await identified()
  const { port, heard } = await boundSocket(t, { ...identity, keylog: theirs })
  const socket = datagramSocket(t, { security: { ...identity, keylog: ours } })
  let lines = ''
  socket.on('keylog', line => {
    lines += line
  })
  await sent(socket, 'x', port)
  await heard.next()
  t.match(lines, /^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}\n$/)
  t.equal(readFileSync(ours, 'utf8'), lines)
  t.equal(readFileSync(theirs, 'utf8'), lines)
})

t.test('a key log that cannot be written stops no connection', async t => {
  const { port } = await listening(t, {}, socket => socket.end('hello'))
  const warned = event(process as never, 'warning') as Promise<[Error]>
  const keylog = join(t.testdir(), 'missing', 'keys.log')
  const socket = createConnection({
    port,
    host: '127.0.0.1',
    security: { ...(await trust()), keylog },
  })
  t.equal(await text(socket), 'hello')
  t.match((await warned)[0].message, /key log .* is not written: ENOENT/)
})

t.test("Node's --tls-keylog has the secrets of datagrams too, and gives no event", async t => {
  const program = fileURLToPath(new URL('../support/both-transports-program.ts', import.meta.url))
  const file = join(t.testdir(), 'keys.log')
  const args = [...process.execArgv, '--tls-keylog', file, program]
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 100_000 })
  t.equal(stdout, 'heard\n')
  const lines = readFileSync(file, 'utf8')
  t.match(lines, /^CLIENT_TRAFFIC_SECRET_0 /m, 'of the stream, by Node')
  t.match(lines, /^CLIENT_RANDOM /m, 'of the datagrams, by us')
  if (process.platform !== 'win32') t.equal(statSync(file).mode & 0o777, 0o600)
})

t.test('the option is read as Node reads it', async t => {
  const cases: [execArgv: string[], nodeOptions: string | undefined, file: string | undefined][] = [
    [[], undefined, undefined],
    [['--no-warnings', '-e', 'x'], '--import=x', undefined],
    [['--tls-keylog=/a=b'], '', '/a=b'],
    [['--tls-keylog', '/a', '-p', 'x'], '', '/a'],
    [['--tls_keylog=/a', '--tls-keylog=/b'], '', '/b'],
    [['--tls-keylog-not=/a'], '--tls-keylogs=/b', undefined],
    [[], '--no-warnings --tls-keylog=/a --x', '/a'],
    [[], '--tls-keylog /a', '/a'],
    [[], '--tls-keylog="/a b" --x', '/a b'],
    [[], '"--tls-keylog=/a \\"b\\\\c"', '/a "b\\c'],
    [['--tls-keylog=/a'], '--tls-keylog=/b', '/a'],
    [['--tls-keylog=a'], '', join(process.cwd(), 'a')],
  ]
  for (const [execArgv, nodeOptions, file] of cases)
    t.equal(
      keylogOption(execArgv, nodeOptions),
      file && resolve(file),
      `${execArgv} ${nodeOptions}`,
    )
})

function sorted(file: string): string {
  return readFileSync(file, 'utf8').split('\n').sort().join('\n')
}
