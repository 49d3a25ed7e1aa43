/** The dtls provider's datagrams in the table of rules. */
import { selfSignedIdentity, testIdentity } from '../support/identities.js'
import { impostors, mutual } from './authorities.js'
import { datagrams } from './datagrams.js'
import { SERVER_NAMES, type Subject } from './subject.js'

export const dtlsDatagram: Subject = {
  ...datagrams((socket, peer) => socket.secure(peer)),
  name: 'dtls datagram',
  provider: 'dtls',
  inapplicable: {
    'R10: what is set wins over the default': 'there is one version of DTLS to choose from',
  },
  // Datagram peers authenticate each other unless told otherwise.
  serverSettings: () => credentials(SERVER_NAMES),
  clientSettings: () => credentials(['client.example']),
  async defaults() {
    // The default policy trusts public authorities; by its pin a peer is known without one.
    const { cert, key, pin } = await selfSignedIdentity()
    return {
      server: { cert, key, requestCert: false },
      clients: [{ peerTargetName: pin }, { security: null, peerTargetName: pin }],
    }
  },
  mutual,
  async anonymous() {
    const server = { ...(await credentials(SERVER_NAMES)), requestCert: false }
    return { client: await credentials(['client.example']), server, names: [] }
  },
  choice: () => Promise.reject(new Error('there is one version of DTLS to choose from')),
  impostors,
  codes: {
    clear: /^ERR_(SSL|TLS)_/,
    // Windows has no such sharing.
    reusePort: process.platform === 'win32' ? /^(listening|ENOTSUP)$/ : /^listening$/,
    // One descriptor cannot be shared by processes that have keys of their own.
    cluster: 'EOPNOTSUPP',
  },
  derivedName: '127.0.0.1',
}

async function credentials(names: readonly string[]) {
  const { cert, key, ca } = await testIdentity(names)
  return { cert, key, ca }
}
