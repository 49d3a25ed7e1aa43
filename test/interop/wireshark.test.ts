/**
 * The recipe of docs/observability.md, as it stands there: Wireshark's own programs record loopback, and
 * read our streams (TLS 1.3) and datagrams (DTLS 1.2) with the key log, and nothing of them without.
 */
import { execFile } from 'node:child_process'
import { createSocket as createPlainSocket } from 'node:dgram'
import { type AddressInfo, createServer as createPlainServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { createSocket } from '../../src/dgram.js'
import { createConnection, createServer, type Server } from '../../src/net.js'
import { blocks, read, section } from '../docs/markdown.js'
import { event, text } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { testIdentity } from '../support/identities.js'
import { launch } from '../support/program.js'
import { closed, type Inbox, inbox, LOOPBACK, sent } from './dtls-sockets.js'

const [record = '', decrypt = '', inject = ''] = blocks(
  section(read('docs/observability.md'), 'Wireshark'),
  'sh',
).map(each => each.trim())
const withKeylog = ' -o tls.keylog_file:keys.log'

const said = { stream: 'the stream says hello', datagram: 'the datagram says hello' }

t.test('a recording is read with the key log, and not without', async t => {
  for (const name of ['dumpcap', 'tshark', 'editcap']) if (!requireProgram(t, name)) return

  const folder = t.testdir()
  const keylog = join(folder, 'keys.log')
  const serving = await serverOf(t, keylog)
  t.match(record, /port 5000/)
  // By exec, so that who ends it ends the program and not the shell.
  const recorder = launch(
    t,
    'sh',
    ['-c', `exec ${record.replace('port 5000', `port ${serving.port}`)}`],
    {
      cwd: folder,
    },
  )
  await recorder.said(/^File: |permi/im, 30_000)
  if (/permi/i.test(recorder.output))
    return t.pass('recording loopback', { skip: 'this user may not record packets' })

  await converse(t, serving, keylog)
  // What was recorded is written to the file some time later.
  await shown(folder, decrypt, Object.values(said))
  await recorder.stop()

  t.ok(decrypt.includes(withKeylog))
  const secret = await output(folder, decrypt.replace(withKeylog, ''))
  for (const each of Object.values(said)) t.notOk(secret.includes(each), 'without the key log')
  t.equal(secret.trim(), '', 'nothing at all')
  const records = 'tls.app_data || dtls.app_data'
  const seen = await output(
    folder,
    `tshark -r capture.pcapng -Y '${records}' -T fields -e ip.proto`,
  )
  t.match(seen, /^6$/m, 'although the protected records of TCP are there')
  t.match(seen, /^17$/m, 'and those of UDP')

  const readable = decrypt.replace(withKeylog, '').replace('capture.pcapng', 'readable.pcapng')
  await output(folder, inject)
  const given = await output(folder, readable)
  for (const each of Object.values(said)) t.ok(given.includes(each), 'with the secrets inside')
})

interface Serving {
  readonly server: Server
  readonly port: number
  readonly heard: Inbox
}

/** A server on a port that is the same for TCP and UDP. */
async function serverOf(t: Test, keylog: string): Promise<Serving> {
  const { cert, key, ca } = await testIdentity()
  const port = await freeOfBoth()
  const server = createServer({ security: { cert, key } }, socket => socket.end(said.stream))
  server.listen(port, LOOPBACK)
  await event(server, 'listening')
  t.teardown(() => server.close())
  const socket = createSocket({ type: 'udp4', security: { cert, key, ca, keylog } })
  t.teardown(() => closed(socket))
  socket.bind(port, LOOPBACK)
  await event(socket, 'listening')
  return { server, port, heard: inbox(socket) }
}

/** One end's key log is enough: of the stream it is the client's, of the datagrams the server's. */
async function converse(t: Test, { server, port, heard }: Serving, keylog: string): Promise<void> {
  const { cert, key, ca } = await testIdentity()
  const stream = createConnection({ port, host: LOOPBACK, security: { ca, keylog } })
  t.equal(await text(stream), said.stream)
  t.equal(server.stats.handshakes, 1)
  const socket = createSocket({ type: 'udp4', security: { cert, key, ca } })
  t.teardown(() => closed(socket))
  await sent(socket, said.datagram, port)
  t.equal((await heard.next()).text, said.datagram)
}

/** What the command prints, once it has all that is waited for. */
async function shown(folder: string, command: string, awaited: readonly string[]): Promise<void> {
  const deadline = Date.now() + 30_000
  let printed = ''
  while (!awaited.every(each => printed.includes(each))) {
    if (Date.now() > deadline) throw new Error(`${command} shows:\n${printed}`)
    await setTimeout(200)
    printed = await output(folder, command)
  }
}

/** Of a file that is still being written tshark complains, at its end. */
async function output(folder: string, command: string): Promise<string> {
  const options = { cwd: folder, timeout: 60_000 }
  return run('sh', ['-c', command], options).then(
    ({ stdout }) => stdout,
    (error: Error & { stdout?: string }) => error.stdout ?? error.message,
  )
}

async function freeOfBoth(): Promise<number> {
  for (;;) {
    const tcp = createPlainServer().listen(0, LOOPBACK)
    await event(tcp, 'listening')
    const { port } = tcp.address() as AddressInfo
    const udp = createPlainSocket('udp4')
    const free = await new Promise<boolean>(resolve => {
      udp.once('error', () => resolve(false))
      udp.bind(port, LOOPBACK, () => resolve(true))
    })
    udp.close()
    await new Promise(resolve => tcp.close(resolve))
    if (free) return port
  }
}

const run = promisify(execFile)
