/** The strongSwan provider's streams in the table of rules. */
import { SecureServer } from '../../src/sockets/secure-server.js'
import { remotePeer, remoteServer } from './remote.js'
import { streams } from './streams.js'
import * as strongswan from './strongswan.js'
import { HOST, type Subject } from './subject.js'

export const strongswanStream: Subject = {
  ...streams,
  name: 'strongswan stream',
  provider: 'strongswan',
  inapplicable: {},
  serverSettings: strongswan.serverSettings,
  clientSettings: strongswan.clientSettings,
  defaults: strongswan.defaults,
  mutual: strongswan.mutual,
  anonymous: strongswan.mutual,
  choice: strongswan.choice,
  impostors: strongswan.impostors,
  codes: {
    clear: /^(EPROTO|ERR_PEER_NOT_AUTHENTICATED)$/,
    reusePort: /^EOPNOTSUPP$/,
    cluster: 'EOPNOTSUPP',
  },
  derivedName: HOST,
  server: (t, options = {}) =>
    remoteServer(t, 'stream', options, each => void new SecureServer(each)),
  clearPeer: (t, behaviour) => remotePeer(t, 'stream', behaviour),
  forget: strongswan.forget,
  tap: t => strongswan.clearTap(t, 'stream'),
}
