/** IPsec on Windows, for streams: Winsock's secure socket extensions. */
import type { NativeProvider } from '../provider.js'
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
      find: () => {
        throw new Error('to come')
      },
      settings,
      peer: `${socket.remoteAddress}:${socket.remotePort}`,
    }),
}
