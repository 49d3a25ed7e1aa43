import { parseSettings } from '../../model/settings.js'
import { currentPolicy } from '../../policy/current-policy.js'
import { viciSocketOf } from '../../providers/strongswan/plans/settings.js'

/** Where sockets look for the daemon that say nothing else: as the policy has it, else as it is built. */
export function viciPath(): string {
  return ofPolicy() ?? viciSocketOf(parseSettings({ protocol: 'ipsec' }, 'stream'))
}

function ofPolicy(): string | undefined {
  try {
    const settings = currentPolicy()?.settings
    for (const each of [settings?.client, settings?.server, settings?.datagram]) {
      const ipsec = each?.ipsec as { readonly viciSocket?: unknown } | undefined
      if (typeof ipsec?.viciSocket === 'string') return ipsec.viciSocket
    }
  } catch {
    // The finding about the policy says what is wrong with it.
  }
  return undefined
}
