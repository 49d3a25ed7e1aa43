/** Streams on Linux, secured by the IPsec of the kernel and the IKE daemon of the host. */
import type { ParsedSettings } from '../../model/settings.js'
import type { NativeProvider } from '../provider.js'
import type { Daemon } from './daemon/daemon.js'
import { daemonAt } from './daemon/daemons.js'
import { checkStrongswanSettings, viciSocketOf } from './plans/settings.js'
import { acceptedStream } from './streams/accepted.js'
import { openListener } from './streams/listener.js'
import { openStream } from './streams/stream.js'

export const strongswanProvider: NativeProvider = strongswanProviderOf(daemonAt)

/** @param daemonOf the daemon at a path; a test gives its own */
export function strongswanProviderOf(daemonOf: (path: string) => Daemon): NativeProvider {
  const daemonFor = (settings: ParsedSettings) => daemonOf(viciSocketOf(settings))
  return {
    mode: 'native',
    checkSettings: checkStrongswanSettings,
    openSocket: async request => openStream(request, daemonFor(request.settings)),
    openListener: async request => openListener(request, daemonFor(request.settings)),
    accepted: (socket, settings) => acceptedStream(socket, settings, daemonFor(settings)),
  }
}
