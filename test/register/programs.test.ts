/**
 * Programs that use libraries from npm, and know nothing of this one, run under `register`: client and
 * server as two processes, and between them somebody who reads along. As they are they would show
 * what they send; under `register` he sees only records of TLS or DTLS. Which programs: ./programs.
 */
import { readdirSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { built } from '../examples/built.js'
import { requireProgram } from '../support/foreign-program.js'
import { testIdentity } from '../support/identities.js'
import { launch, type Program } from '../support/program.js'
import { root } from '../support/project-root.js'
import { postgresql, redis } from '../support/servers.js'
import { udpTap } from '../support/udp-tap.js'
import { wireTap } from '../support/wire-tap.js'

const folder = join(root, 'test/register/programs')

/** What every program sends in both directions, or at least in one. */
const word = 'cormorant'

interface Expected {
  transport: 'tcp' | 'udp'
  /** What the client prints. */
  client: RegExp
  /** What the server prints when it has heard the client, where it does. */
  server?: RegExp
  /** What its policy needs besides the usual. */
  policy?: object
  /** A real server, behind the program hop.mjs. */
  behind?: (t: Test) => Promise<string | undefined>
}

const through = /^got through$/m
const programs: Record<string, Expected> = {
  'coap.mjs': {
    transport: 'udp',
    client: /^got cormorant at \/cormorant$/m,
    // Its server asks for reuseAddr.
    policy: { datagrams: { sharePort: true } },
  },
  'hot-shots.mjs': { transport: 'udp', client: through, server: /got cormorant\.orders:1\|c/ },
  'http.cjs': {
    transport: 'tcp',
    client: /^got cormorant at \/cormorant, then cormorant at \/again by the same connection$/m,
  },
  'ioredis.mjs': {
    transport: 'tcp',
    client: /^got cormorant$/m,
    behind: async t => {
      const path = requireProgram(t, 'redis-server')
      return path && redis(t, path)
    },
  },
  'mqtt.mjs': { transport: 'tcp', client: /^got greeting: cormorant$/m },
  'mysql2.cjs': {
    transport: 'tcp',
    client: /^got cormorant to SELECT 'one' and cormorant to SELECT 'two'$/m,
  },
  'net-snmp.cjs': { transport: 'udp', client: /^got cormorant$/m },
  'nodemailer.mjs': { transport: 'tcp', client: /^got 250 cormorant to you$/m },
  'pg.cjs': {
    transport: 'tcp',
    client: /^got cormorant$/m,
    behind: async t => {
      const path = requireProgram(t, 'postgres')
      return path && postgresql(t, path)
    },
  },
  'ssh2.cjs': { transport: 'tcp', client: /^got cormorant: done$/m },
  'undici.mjs': {
    transport: 'tcp',
    client: /^got cormorant at \/cormorant and cormorant at \/request$/m,
  },
  'winston-syslog-tcp.cjs': { transport: 'tcp', client: through, server: /^got <132>.*cormorant/m },
  'winston-syslog-udp.cjs': { transport: 'udp', client: through, server: /^got <132>.*cormorant/m },
  'ws.mjs': { transport: 'tcp', client: /^got cormorant, masked$/m },
}

// Some sixty processes: under load they take longer than a file of tests usually may.
t.setTimeout(300_000)
t.before(built)

t.test('no program is left out here', async t => {
  const helpers = ['hop.mjs', 'run.cjs']
  t.same(readdirSync(folder).sort(), [...Object.keys(programs), ...helpers].sort())
})

for (const [name, expected] of Object.entries(programs)) {
  t.test(name, async t => {
    const behind = await expected.behind?.(t)
    if (expected.behind && !behind) return
    const policy = await policyFor(t, ['localhost', '127.0.0.1'], expected.policy)

    const [clear, secured] = await Promise.all([
      exchange(t, name, expected, { behind }),
      exchange(t, name, expected, { behind, policies: [policy, policy] }),
    ])
    t.match(clear.client.output, expected.client, 'the program works')
    t.ok(clear.seen.includes(word), 'and shows what it sends')
    t.match(secured.client.output, expected.client, 'it works under register')
    t.ok(secured.records.length >= 6 && secured.records.every(isRecord), 'by records')
    t.notOk(secured.seen.includes(word), 'and shows nothing of what it sends')
  })
}

for (const [name, reports] of Object.entries({
  'http.cjs': /^failed: ERR_PEER_TARGET_NAME_MISMATCH/m,
  'net-snmp.cjs': /^failed: ERR_PEER_TARGET_NAME_MISMATCH/m,
})) {
  const expected = programs[name] as Expected
  t.test(`${name} sends nothing to a server that is another`, async t => {
    const policies: [string, string] = [
      await policyFor(t, ['host/other.example.com']),
      await policyFor(t, ['localhost', '127.0.0.1']),
    ]
    const { client, seen } = await exchange(t, name, { ...expected, client: reports }, { policies })
    t.match(client.output, reports)
    t.notOk(seen.includes(word))
  })
}

/** Runs client and server, each under its policy or as it is, and gives what was seen between them. */
async function exchange(
  t: Test,
  name: string,
  expected: Expected,
  {
    behind,
    policies,
  }: { behind?: string | undefined; policies?: [server: string, client: string] },
) {
  const [serverPolicy, clientPolicy] = policies ?? []
  const server = behind
    ? start(t, serverPolicy, 'hop.mjs', 'server', behind)
    : start(t, serverPolicy, name, 'server')
  const [, port] = await server.said(/^listens at (\d+)$/m, 30_000)
  const tap = await (expected.transport === 'tcp' ? wireTap : udpTap)(Number(port))
  t.teardown(() => tap.close())
  const client = start(t, clientPolicy, name, 'client', String(tap.port))
  await client.ended(30_000)
  if (expected.server) await server.said(expected.server)
  await server.stop()
  return { client, ...seenBy(tap) }
}

function start(t: Test, policy: string | undefined, name: string, ...args: string[]): Program {
  const register = policy ? ['--import', 'secure-socket/register'] : []
  const env = { SECURE_SOCKET_POLICY: policy }
  const command = [process.execPath, ...register, join(folder, name), ...args]
  // tap loads its own hooks into every Node that a test starts; these programs are as they are.
  const [program, ...rest] = ['env', '-u', 'NODE_OPTIONS', ...command]
  return launch(t, program as string, rest, { cwd: root, env })
}

/** Both directions; the records are the datagrams of UDP, and the beginnings of what TCP carried. */
function seenBy(tap: Awaited<ReturnType<typeof wireTap | typeof udpTap>>) {
  if ('connections' in tap) {
    const directions = [tap.toServer(), tap.toClient()]
    return { seen: Buffer.concat(directions), records: directions.flatMap(tlsRecords) }
  }
  const records = [...tap.toServer, ...tap.toClient]
  return { seen: Buffer.concat(records), records }
}

/** Cuts a stream at what it says of the lengths of its records; several connections follow each other. */
function tlsRecords(stream: Buffer): Buffer[] {
  const records: Buffer[] = []
  for (let at = 0; at < stream.length; at += (records.at(-1) as Buffer).length) {
    const length = at + 5 <= stream.length ? 5 + stream.readUInt16BE(at + 3) : stream.length
    records.push(stream.subarray(at, at + length))
  }
  return records
}

/** Change of cipher spec, alert, handshake or data, of a version of TLS or DTLS. */
function isRecord(bytes: Buffer): boolean {
  const [type = 0, major] = bytes
  return type >= 20 && type <= 23 && (major === 3 || major === 254)
}

/** A policy of a host of these names, which asks every client of a stream for its certificate. */
async function policyFor(t: Test, names: string[], more = {}): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'policy-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const { cert, key, ca } = await testIdentity(names)
  for (const [file, pem] of Object.entries({ 'host.crt': cert, 'host.key': key, 'ca.crt': ca }))
    await writeFile(join(directory, file), pem, { mode: 0o600 })
  const policy = {
    identity: { cert: 'host.crt', key: 'host.key', ca: ['ca.crt'] },
    servers: { requestCert: true },
    clear: [{ pipes: true }],
    ...more,
  }
  const path = join(directory, 'policy.json')
  await writeFile(path, JSON.stringify(policy))
  return path
}
