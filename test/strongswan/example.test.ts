/** examples/ipsec-linux, run as its README says, by two hosts that have a certificate each. */
import { execFile, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { until } from '../support/until.js'
import { addressOf, type HostName, needsGuest } from './support/hosts.js'
import { inClear, inWords, secured, watchWire } from './support/wire.js'

const port = 7000
const run = promisify(execFile)
const examples = fileURLToPath(new URL('../../examples/ipsec-linux/', import.meta.url))
const fromSource = fileURLToPath(new URL('./support/from-source.ts', import.meta.url))

/** The command line of one of the programs, on that host. */
function program(name: 'server' | 'client', host: HostName, ...more: string[]): string[] {
  const node = [process.execPath, '--import', fromSource]
  const files = ['--cert', `/run/ca/${host}.pem`, '--key', `/run/ca/${host}.key`]
  const daemon = ['--ca', '/run/ca/ca.pem', '--vici', `/run/${host}/charon.vici`]
  return [host, ...node, `${examples}${name}.mjs`, ...files, ...daemon, ...more]
}

t.test('they greet each other, and nobody else can read it', async t => {
  if (!needsGuest(t)) return
  const [a, b] = [addressOf('a', 4), addressOf('b', 4)]
  const wire = await watchWire(t)
  const server = spawn('on', program('server', 'b'), { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => server.kill('SIGKILL'))
  let said = ''
  server.stdout.on('data', text => {
    said += text
  })
  await until(
    'the server listens',
    () => said.includes(`Listening on 0.0.0.0 port ${port}`),
    60_000,
  )

  const { stdout } = await run('on', program('client', 'a', b, '--name', 'b.example'))
  t.match(stdout, /^TCP: connected to b\.example, secured by AES_GCM_16-128$/m)
  t.match(stdout, /^TCP: hello, a\.example$/m)
  t.match(stdout, /^UDP: hello, a\.example$/m)
  t.match(said, /^TCP: a\.example is connected, secured by AES_GCM_16-128$/m)
  t.match(said, /^UDP: a\.example says good morning$/m)
  const packets = await wire.packets()
  t.same(inWords(inClear(packets, port)), [])
  t.ok(secured(packets, a, b).length > 0)

  const another = run('on', program('client', 'a', b, '--name', 'c.example'))
  await t.rejects(another, { code: 1, stderr: /^ERR_PEER_\w+: .*c\.example/ })
})
