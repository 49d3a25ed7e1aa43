import { createRequire } from 'node:module'
import { join } from 'node:path'

/** What servers show and clients trust, for each kind of key, made by the build that is measured. */
export async function makeCredentials(build) {
  const { createAuthority, createIdentity } = createRequire(import.meta.url)(
    join(build, 'index.cjs'),
  )
  const made = {}
  for (const algorithm of ['ecdsa-p256', 'rsa-2048']) {
    const authority = await createAuthority({ algorithm, name: 'bench' })
    const { cert, key, ca } = await createIdentity({
      algorithm,
      authority,
      names: ['localhost', '127.0.0.1'],
      usage: 'server',
    })
    made[algorithm] = { cert, key, ca }
  }
  return made
}
