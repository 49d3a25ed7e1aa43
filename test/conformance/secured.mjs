// What makes a test run secured: credentials, and the variables that load the preload with them.

import { cpSync, existsSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * Makes the credentials that an administrator would have given, in a file that every test process
 * reads, and gives the variables of the environment for `runTests`.
 *
 * NODE_OPTIONS and not a flag: it reaches what a test forks or spawns, and its workers, and leaves
 * `process.execArgv` as the test expects it.
 *
 * @param {string} scratch where the file goes
 * @param {string} built the build to test
 */
export async function securedEnvironment(scratch, built) {
  if (!existsSync(built)) throw new Error(`${built} is not there: npm run build`)
  const { createAuthority, createIdentity } = createRequire(import.meta.url)(
    join(built, 'index.cjs'),
  )

  const authority = await createAuthority({ name: 'conformance tests' })
  const names = ['localhost', '127.0.0.1', '::1']
  const { cert, key, ca, pin } = await createIdentity({ authority, names })
  const file = join(scratch, 'credentials.json')
  writeFileSync(file, JSON.stringify({ cert, key, ca, pin }), { mode: 0o600 })

  // A copy: a build that runs meanwhile does not pull the code from under the tests.
  const dist = join(scratch, 'dist')
  cpSync(built, dist, { recursive: true })

  const preload = fileURLToPath(new URL('./preload.cjs', import.meta.url))
  return {
    NODE_OPTIONS: `--require ${JSON.stringify(preload)}`,
    CONFORMANCE_CREDENTIALS: file,
    CONFORMANCE_DIST: dist,
  }
}
