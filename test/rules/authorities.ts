/** How peers prove who they are by certificates, and fail to: for the providers that work with them. */
import type { SecuritySettings } from '../../src/model/settings.js'
import { expiredIdentity, strangerIdentity, testIdentity } from '../support/identities.js'
import { type Ends, type Impostor, SERVER_NAMES } from './subject.js'

/** Both ends have certificates, and the server asks for the client's. */
export async function mutual(): Promise<Ends> {
  const names = ['client.example']
  const { cert, key, ca } = await testIdentity(names)
  const server = await testIdentity(SERVER_NAMES)
  return {
    client: { cert, key, ca },
    server: { cert: server.cert, key: server.key, ca, requestCert: true },
    names,
  }
}

export const impostors: readonly Impostor[] = [
  {
    title: 'an authority that nobody trusts vouches for it',
    code: /UNABLE_TO|SELF_SIGNED/,
    prepare: async () => credentials(await strangerIdentity(SERVER_NAMES)),
  },
  {
    title: 'its certificate has expired',
    code: /^CERT_HAS_EXPIRED$/,
    prepare: async () => credentials(await expiredIdentity(SERVER_NAMES)),
  },
]

/** A server with that identity, whose clients the test authority vouches for. */
export async function credentials({
  cert,
  key,
}: {
  cert: string
  key: string
}): Promise<SecuritySettings> {
  const { ca } = await testIdentity()
  return { cert, key, ca }
}
