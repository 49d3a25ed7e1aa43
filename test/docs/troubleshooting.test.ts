/** The transcripts in docs/troubleshooting.md are what `NODE_DEBUG=secure-socket` prints today. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/identity/authority.js'
import { createIdentity } from '../../src/identity/identity.js'
import { built } from '../examples/built.js'
import { launch } from '../support/program.js'
import { blocks, read } from './markdown.js'

process.env.NODE_DEBUG = 'secure-socket'
const transcripts = blocks(read('docs/troubleshooting.md'), '').map(lines)

/** `serve` answers whatever comes; `ask` sends until `wanted` answers are here, or a send fails. */
const program = `
import { createSocket } from 'secure-socket/dgram'

const [role, settings, port, targetName = '', wanted = 1] = process.argv.slice(2)
const security = JSON.parse(settings, (_, value) =>
  /^[0-9a-f]{32}$/.test(value) ? Buffer.from(value, 'hex') : value)
const socket = createSocket({ type: 'udp4', security })
if (role === 'serve') {
  socket.on('message', (message, rinfo) => socket.send('pong', rinfo.port, rinfo.address))
  socket.bind(Number(port), '127.0.0.1', () => console.log('bound to ' + socket.address().port))
} else {
  const peer = { address: '127.0.0.1', port: Number(port) }
  if (targetName) socket.setPeerTargetName({ ...peer, targetName })
  let heard = 0
  const end = () => {
    clearInterval(timer)
    socket.close()
  }
  const ask = () => socket.send('ping', peer.port, peer.address, error => {
    if (!error) return
    console.log(error.message)
    end()
  })
  socket.on('message', () => {
    heard += 1
    console.log('answer ' + heard)
    if (heard === Number(wanted)) end()
  })
  const timer = setInterval(ask, 300)
  ask()
}
`

const directory = t.testdir()
t.before(async () => {
  await built()
  await writeFile(join(directory, 'end.mjs'), program)
})

const authority = await createAuthority()
const server = { ...(await createIdentity({ authority, names: ['host/localhost'] })) }
const client = { ...(await createIdentity({ authority, names: ['spiffe://example.com/alice'] })) }

t.test('a handshake, at both ends, and one with another target name', async t => {
  const serving = await serve(t, server)
  const right = ask(t, client, serving.port, 'host/localhost')
  await right.ended()
  await serving.program.said(/: closed\n/)
  const wrong = ask(t, client, serving.port, 'host/other.example.com')
  await wrong.ended()
  await serving.program.said(/: failed: /)

  const [atClient, atServer, refusing, refused] = transcripts
  t.ok(includes(right.output, atClient), right.output)
  t.ok(includes(serving.program.output, atServer), serving.program.output)
  t.ok(includes(wrong.output, refusing), wrong.output)
  t.ok(includes(serving.program.output, refused), serving.program.output)
})

t.test('a pre-shared key that differs', async t => {
  const serving = await serve(t, { psk: { x: '00'.repeat(16) } })
  const psk = { identity: 'x', key: '11'.repeat(16) }
  const asking = ask(t, { psk, handshakeTimeout: 3000 }, serving.port)
  await asking.ended()
  t.ok(includes(asking.output, transcripts[4]), asking.output)
})

t.test('a server that was restarted', async t => {
  const first = await serve(t, server)
  const settings = { ...client, resumeAfter: 1500 }
  const asking = ask(t, settings, first.port, 'host/localhost', '1000')
  await asking.said(/answer 1\n/)
  await first.program.stop()
  await serve(t, server, first.port)
  await asking.said(/handshakes anew[\s\S]*answer/, 20_000)
  t.ok(includes(asking.output, transcripts[5]), asking.output)
})

async function serve(t: Test, security: object, port = '0') {
  const program = launch(
    t,
    process.execPath,
    ['end.mjs', 'serve', JSON.stringify(security), port],
    {
      cwd: directory,
    },
  )
  const [, bound = ''] = await program.said(/bound to (\d+)\n/)
  return { program, port: bound }
}

function ask(t: Test, security: object, port: string, ...more: string[]) {
  const args = ['end.mjs', 'ask', JSON.stringify(security), port, ...more]
  return launch(t, process.execPath, args, { cwd: directory })
}

/** Without what differs each time: processes, ports, milliseconds. */
function lines(text: string): string[] {
  return text
    .trim()
    .split('\n')
    .map(line =>
      line
        .replace(/^SECURE-SOCKET \d+: /, '')
        .replace(/127\.0\.0\.1:\d+/g, 'PEER')
        .replace(/\b[\d.]+ ms/g, 'N ms'),
    )
}

/** All of the transcript, in its order; other lines may stand between. */
function includes(output: string, transcript: string[] = ['(no transcript)']): boolean {
  let next = 0
  for (const line of lines(output)) if (line === transcript[next]) next += 1
  return next === transcript.length
}
