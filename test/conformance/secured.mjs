// What makes a test run secured: a policy, and the variables that load the preload with it.

import { cpSync, existsSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * Makes the credentials and settings that an administrator would have given, in a file that every test process
 * reads, and gives the variables of the environment for `runTests`.
 *
 * NODE_OPTIONS and not a flag: it reaches what a test forks or spawns, and its workers, and leaves
 * `process.execArgv` as the test expects it.
 *
 * @param {string} scratch where the file goes
 * @param {string} built the build to test
 * @param {object} options `mutual`: clients prove who they are, too; `through`: `'faces'`, where a test
 *   gets ours for `net` and `dgram`, or `'register'`, where it gets node's own, which register has patched
 * @returns the variables, for a suite of datagrams and for one of connections
 */
export async function securedEnvironment(scratch, built, { mutual, through }) {
  if (!existsSync(built)) throw new Error(`${built} is not there: npm run build`)
  const { createAuthority, createIdentity } = createRequire(import.meta.url)(
    join(built, 'index.cjs'),
  )

  const authority = await createAuthority({ name: 'conformance tests' })
  const addresses = Object.values(networkInterfaces()).flatMap(each => each.map(i => i.address))
  const names = ['localhost', ...new Set(['127.0.0.1', '::1', ...addresses])]
  const identity = await createIdentity({ authority, names })

  // A copy: a build that runs meanwhile does not pull the code from under the tests.
  const dist = join(scratch, 'dist')
  cpSync(built, dist, { recursive: true })
  // Datagrams need koffi, which is looked for from there.
  const modules = fileURLToPath(new URL('../../node_modules', import.meta.url))
  symlinkSync(modules, join(scratch, 'node_modules'), 'junction')

  const prepare = through === 'register' ? registered : replaced
  return prepare(scratch, dist, identity, mutual)
}

/** By the preload, which gives each test our own modules. */
function replaced(scratch, dist, { cert, key, ca, pin }, mutual) {
  const file = join(scratch, 'policy.json')
  const policy = {
    // Tests look up host names of their own making, so the server is known by its key.
    peerTargetName: pin,
    client: mutual ? { cert, key, ca } : { ca },
    // Tests share ports between processes on purpose.
    server: { cert, key, sharePort: true, ...(mutual ? { ca, requestCert: true } : {}) },
    // Both ends of a datagram prove who they are, whichever of them begins. Tests send to nobody, and
    // do not expect that anybody waits for an answer.
    datagrams: { cert, key, ca, sharePort: true, handshakeTimeout: 2000 },
  }
  writeFileSync(file, JSON.stringify(policy), { mode: 0o600 })

  const preload = fileURLToPath(new URL('./preload.cjs', import.meta.url))
  const variables = {
    NODE_OPTIONS: `--require ${JSON.stringify(preload)}`,
    CONFORMANCE_POLICY: file,
    CONFORMANCE_DIST: dist,
  }
  return { datagrams: variables, connections: { ...variables, CONFORMANCE_DGRAM: 'clear' } }
}

/** By register and a policy alone, as an administrator has it. */
function registered(scratch, dist, { cert, key, ca, pin }, mutual) {
  const file = name => join(scratch, name)
  const files = { 'host.crt': cert, 'host.key': key, 'ca.crt': ca }
  for (const [name, pem] of Object.entries(files)) writeFileSync(file(name), pem, { mode: 0o600 })
  // The canary is one end of each connection itself.
  const credentials = { server: { cert, key }, client: { ca } }
  writeFileSync(file('canary.json'), JSON.stringify(credentials), { mode: 0o600 })

  const everyPort = { port: '1-65535' }
  const policy = {
    identity: { cert: 'host.crt', key: 'host.key', ca: ['ca.crt'] },
    streams: { sharePort: true },
    servers: { sharePort: true, requestCert: mutual },
    datagrams: { sharePort: true, handshakeTimeout: 2000 },
    targetNames: [{ transport: 'tcp', ...everyPort, targetName: pin }],
    clear: [{ pipes: true }],
  }
  // Tests of net and http have servers of names of their own making, which Node's resolver asks in clear.
  const clearDatagrams = [...policy.clear, { transport: 'udp', ...everyPort }]
  writeFileSync(file('datagrams.json'), JSON.stringify(policy))
  writeFileSync(file('connections.json'), JSON.stringify({ ...policy, clear: clearDatagrams }))

  const variables = name => ({
    NODE_OPTIONS: `--require ${JSON.stringify(join(dist, 'register.cjs'))}`,
    SECURE_SOCKET_POLICY: file(name),
    CONFORMANCE_POLICY: file('canary.json'),
  })
  return { datagrams: variables('datagrams.json'), connections: variables('connections.json') }
}
