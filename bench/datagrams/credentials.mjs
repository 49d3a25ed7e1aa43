import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const algorithm = 'ecdsa-p256'

/** What the ends show each other and whom they trust, made by the build that is measured. */
export async function makeCredentials(build) {
  const { createAuthority, createIdentity } = createRequire(import.meta.url)(
    join(build, 'index.cjs'),
  )
  const authority = await createAuthority({ algorithm, name: 'bench' })
  const identity = usage =>
    createIdentity({ algorithm, authority, names: ['localhost', '127.0.0.1'], usage })
  const [server, client] = await Promise.all([identity('server'), identity('client')])
  return {
    server: { cert: server.cert, key: server.key },
    client: { cert: client.cert, key: client.key },
    ca: server.ca,
    // One of the peers takes a key as text only.
    psk: { identity: 'bench', key: randomBytes(16).toString('hex') },
  }
}
