/** IPsec on Windows, for streams: Winsock's secure socket extensions. */
import { peerText } from '../../model/peer-text.js'
import type { NativeProvider } from '../provider.js'
import { findAcceptedSocket } from './accepted-socket.js'
import { streamConnection } from './connection.js'
import { checkWinsockSettings } from './settings.js'
import { openListener, openStream } from './stream.js'

export const winsockProvider: NativeProvider = {
  mode: 'native',
  checkSettings: checkWinsockSettings,
  openSocket: openStream,
  openListener,
  accepted: (socket, settings) =>
    streamConnection({
      find: () => findAcceptedSocket(socket),
      settings,
      peer: peerText(socket.remoteAddress ?? '', socket.remotePort ?? 0),
    }),
}
