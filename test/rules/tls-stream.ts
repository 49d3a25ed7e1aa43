/** The tls provider's streams in the table of rules. */
import { selfSignedIdentity, testIdentity } from '../support/identities.js'
import { impostors, mutual } from './authorities.js'
import { streams } from './streams.js'
import { SERVER_NAMES, type Subject } from './subject.js'

export const tlsStream: Subject = {
  ...streams,
  name: 'tls stream',
  provider: 'tls',
  inapplicable: {},
  serverSettings,
  clientSettings,
  async defaults() {
    // The default policy trusts public authorities; by its pin a peer is known without one.
    const { cert, key, pin } = await selfSignedIdentity()
    return {
      server: { cert, key },
      clients: [{ peerTargetName: pin }, { security: null, peerTargetName: pin }],
    }
  },
  mutual,
  async anonymous() {
    const server = { ...(await serverSettings()), requestCert: false }
    return { client: await clientSettings(), server, names: [] }
  },
  async choice() {
    const client = { ...(await clientSettings()), maxVersion: 'TLSv1.2' } as const
    return { client, info: { version: 'TLSv1.2' } }
  },
  impostors,
  codes: {
    clear: /^ERR_(SSL|TLS)_/,
    // Windows has no such sharing.
    reusePort: process.platform === 'win32' ? /^(listening|ENOTSUP)$/ : /^listening$/,
    cluster: 'listening',
  },
  derivedName: '127.0.0.1',
}

/** It asks its clients for nothing. */
async function serverSettings() {
  const { cert, key } = await testIdentity(SERVER_NAMES)
  return { cert, key }
}

async function clientSettings() {
  const { ca } = await testIdentity(['client.example'])
  return { ca }
}
