/**
 * What a socket is secured by, now: what its application asks for, the administrator's policy, and the
 * files that either names.
 */
import type { Use } from '../model/policy/combined-settings.js'
import type { Policy } from '../model/policy/policy.js'
import { copy, isView } from '../model/setting-values.js'
import {
  type AnySettings,
  type DatagramSecuritySettings,
  type ParsedSettings,
  parseSettings,
  type SecuritySettings,
  type SocketKind,
} from '../model/settings.js'
import { currentPolicy } from './current-policy.js'
import { fileSource } from './file-settings.js'
import { sourceUnder } from './policy-settings.js'
import type { SettingsSource } from './source.js'

/**
 * Settings of a socket, by R10. They follow the policy: when it was read again, what is secured next is
 * secured by the new one.
 * @param application what the application asks for; null or absent: nothing (R1)
 * @throws SocketSecurityError EINVAL, EOPNOTSUPP, ERR_POLICY_FORBIDS, ERR_POLICY_INVALID
 */
export function settingsFor(
  application: SecuritySettings | null | undefined,
  kind: 'stream',
  use: Use,
): SettingsSource
export function settingsFor(
  application: DatagramSecuritySettings | null | undefined,
  kind: 'datagram',
): SettingsSource
export function settingsFor(
  application: AnySettings | null | undefined,
  kind: SocketKind,
  use: Use = 'client',
): SettingsSource {
  const source = sharedSource(application, kind, use)
  // What the policy has against it is told now, and not only when somebody connects.
  source.current()
  return source
}

/**
 * Which protocol would secure such a socket; where that cannot be said, it fails later and this is
 * `'tls'`. For what has to be known before the socket exists.
 */
export function protocolFor(
  application: SecuritySettings | null | undefined,
  kind: 'stream',
  use: Use,
): ParsedSettings['protocol'] {
  try {
    return settingsFor(application, kind, use).current().protocol
  } catch {
    return 'tls'
  }
}

class FollowingSource implements SettingsSource {
  readonly #application: AnySettings
  readonly #kind: SocketKind
  readonly #use: Use
  /** Without a policy. */
  readonly #alone: SettingsSource
  #policy: Policy | null = null
  #under: SettingsSource

  constructor(application: AnySettings, alone: SettingsSource, kind: SocketKind, use: Use) {
    this.#application = application
    this.#kind = kind
    this.#use = use
    this.#alone = alone
    this.#under = alone
  }

  current(): ParsedSettings {
    const policy = currentPolicy()
    if (policy !== this.#policy) {
      this.#under =
        policy === null
          ? this.#alone
          : sourceUnder(policy, this.#application, this.#kind, this.#use)
      this.#policy = policy
    }
    return this.#under.current()
  }
}

/** What the same settings, for the same use, share: applications make many sockets of them. */
const shared = new WeakMap<object, Partial<Record<Use, FollowingSource>>>()

function sharedSource(
  application: AnySettings | null | undefined,
  kind: SocketKind,
  use: Use,
): FollowingSource {
  const files = fileSource(application, kind)
  const parsed = files ?? parseSettings(application, kind)
  let sources = shared.get(parsed)
  if (sources === undefined) {
    sources = {}
    shared.set(parsed, sources)
  }
  sources[use] ??= new FollowingSource(
    copied(application ?? {}) as AnySettings,
    files ?? { current: () => parsed as ParsedSettings },
    kind,
    use,
  )
  return sources[use]
}

/** As it was when it was given: programs overwrite their keys, and use their objects again. */
function copied(value: unknown): unknown {
  if (isView(value)) return copy(value)
  if (Array.isArray(value)) return value.map(copied)
  if (typeof value !== 'object' || value === null || value instanceof URL) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, copied(each)]))
}
