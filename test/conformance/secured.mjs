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
 * @param {boolean} mutual clients prove who they are, too
 */
export async function securedEnvironment(scratch, built, mutual) {
  if (!existsSync(built)) throw new Error(`${built} is not there: npm run build`)
  const { createAuthority, createIdentity } = createRequire(import.meta.url)(
    join(built, 'index.cjs'),
  )

  const authority = await createAuthority({ name: 'conformance tests' })
  const addresses = Object.values(networkInterfaces()).flatMap(each => each.map(i => i.address))
  const names = ['localhost', ...new Set(['127.0.0.1', '::1', ...addresses])]
  const { cert, key, ca, pin } = await createIdentity({ authority, names })
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

  // A copy: a build that runs meanwhile does not pull the code from under the tests.
  const dist = join(scratch, 'dist')
  cpSync(built, dist, { recursive: true })
  // Datagrams need koffi, which is looked for from there.
  const modules = fileURLToPath(new URL('../../node_modules', import.meta.url))
  symlinkSync(modules, join(scratch, 'node_modules'), 'junction')

  const preload = fileURLToPath(new URL('./preload.cjs', import.meta.url))
  return {
    NODE_OPTIONS: `--require ${JSON.stringify(preload)}`,
    CONFORMANCE_POLICY: file,
    CONFORMANCE_DIST: dist,
  }
}
