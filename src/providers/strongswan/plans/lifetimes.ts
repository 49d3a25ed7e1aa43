/** When strongSwan replaces keys: in seconds what our settings have in milliseconds. */
import { defaultDatagramSettings, fullHandshakeInterval } from '../../../model/defaults.js'
import type { ParsedSettings } from '../../../model/settings.js'
import type { Lifetimes } from './plans.js'

/**
 * Streams have no end by idleness: a server, which cannot negotiate anew with whoever came, could
 * not be the first to speak after the pause.
 */
export function lifetimesOf(settings: ParsedSettings): Lifetimes {
  const { kind, rekeyAfter, rekeyAfterBytes, idleTimeout, fullHandshakeAfter } = settings
  // To prove an identity anew interrupts strongSwan's flows for a moment, so it is done on request.
  const again = fullHandshakeAfter !== defaultDatagramSettings.fullHandshakeAfter
  return {
    rekeySeconds: seconds(rekeyAfter),
    rekeyBytes: rekeyAfterBytes,
    ikeRekeySeconds: seconds(fullHandshakeInterval),
    ...(again ? { reauthenticationSeconds: seconds(fullHandshakeAfter) } : {}),
    ...(kind === 'datagram' ? { inactivitySeconds: seconds(idleTimeout) } : {}),
  }
}

function seconds(milliseconds: number): number {
  return Math.max(1, Math.ceil(milliseconds / 1000))
}
