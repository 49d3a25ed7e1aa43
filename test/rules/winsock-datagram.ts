/** The Winsock provider's datagrams in the table of rules. */
import { winsockDouble } from '../support/winsock-double.js'
import { datagrams, HELLO } from './datagrams.js'
import type { Subject } from './subject.js'
import * as winsock from './winsock.js'

const common = datagrams((socket, peer) => {
  socket.send(HELLO, peer.port, peer.address)
  return socket.secure(peer)
})

export const winsockDatagram: Subject = {
  ...common,
  name: 'winsock datagram',
  provider: 'winsock',
  inapplicable: {},
  serverSettings: winsock.settings,
  clientSettings: winsock.settings,
  defaults: winsock.defaults,
  mutual: winsock.mutual,
  anonymous: winsock.anonymous,
  choice: winsock.choice,
  impostors: winsock.impostors,
  system: winsock.system,
  codes: { clear: /^EPROTO$/, reusePort: /^EOPNOTSUPP$/, cluster: 'EOPNOTSUPP' },
  derivedName: '127.0.0.1',
  clearPeer(t, behaviour) {
    winsock.negotiatesNothing(t, behaviour)
    return common.clearPeer(t, behaviour)
  },
  clearClient(t, port) {
    winsock.negotiatesNothing(t, 'answers')
    return common.clearClient(t, port)
  },
  resources: () => common.resources() + winsockDouble().outstanding(),
}
