/** IPsec on Linux, for datagrams: strongSwan's IKE daemon is told of each peer, and the kernel does the rest. */
import type { NativeDatagramProvider } from '../datagram-provider.js'
import { daemonAt } from './daemon/daemons.js'
import { DatagramSocket } from './datagrams/datagram-socket.js'
import { ikeIdentity } from './plans/identities.js'
import { checkStrongswanSettings, viciSocketOf } from './plans/settings.js'

export const strongswanDatagramProvider: NativeDatagramProvider = {
  mode: 'native',
  checkSettings: checkStrongswanSettings,
  checkTargetName(name, settings) {
    ikeIdentity(name, settings)
  },
  openSocket: async request =>
    new DatagramSocket(request, daemonAt(viciSocketOf(request.settings))),
}
