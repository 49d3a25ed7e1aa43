/** The strongSwan provider's datagrams in the table of rules. */
import { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'
import { datagrams, HELLO } from './datagrams.js'
import { remotePeer, remoteServer } from './remote.js'
import * as strongswan from './strongswan.js'
import { HOST, type Subject } from './subject.js'

/** A server that has heard nothing of a peer does not look for what secures it. */
const common = datagrams(async (socket, peer) => {
  const info = await socket.secure(peer)
  socket.send(HELLO, peer.port, peer.address)
  return info
})

export const strongswanDatagram: Subject = {
  ...common,
  name: 'strongswan datagram',
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
    remoteServer(t, 'datagram', options, each => {
      new SecureDgramSocket({ type: 'udp4', ...each } as never).close()
    }),
  clearPeer: (t, behaviour) => remotePeer(t, 'datagram', behaviour),
  forget: strongswan.forget,
  tap: t => strongswan.clearTap(t, 'datagram'),
}
