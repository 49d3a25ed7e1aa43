/** The Winsock provider's streams in the table of rules. */
import { until } from '../support/until.js'
import { winsockDouble } from '../support/winsock-double.js'
import { streams } from './streams.js'
import type { Subject } from './subject.js'
import * as winsock from './winsock.js'

export const winsockStream: Subject = {
  ...streams,
  name: 'winsock stream',
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
  async clearPeer(t, behaviour) {
    winsock.negotiatesNothing(t, behaviour)
    const peer = await streams.clearPeer(t, behaviour)
    // It is sent nothing before the system has answered.
    const contacted = () => until('it is contacted', () => peer.contacts > 0)
    return Object.create(peer, { contacted: { value: contacted } })
  },
  clearClient(t, port) {
    winsock.negotiatesNothing(t, 'answers')
    return streams.clearClient(t, port)
  },
  resources: () => streams.resources() + winsockDouble().outstanding(),
}
