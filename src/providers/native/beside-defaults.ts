import {
  defaultDatagramPolicy,
  defaultDatagramSettings,
  defaultPolicy,
} from '../../model/defaults.js'
import type { ParsedSettings } from '../../model/settings.js'

/**
 * The first of these settings that is something else than by default: a provider that cannot honour
 * it refuses it, but not what every socket has.
 */
export function firstBesideDefaults<K extends keyof ParsedSettings>(
  settings: ParsedSettings,
  keys: readonly K[],
): K | undefined {
  const defaults: Readonly<Record<string, unknown>> = {
    ...defaultDatagramSettings,
    ...(settings.kind === 'datagram' ? defaultDatagramPolicy : defaultPolicy),
    keylog: false,
  }
  return keys.find(key => {
    const value = settings[key]
    const isEmpty = value === undefined || (Array.isArray(value) && value.length === 0)
    return !isEmpty && value !== defaults[key]
  })
}
