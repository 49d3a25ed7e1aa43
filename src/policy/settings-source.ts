/**
 * What a socket is secured by, now: what its application asks for, the administrator's policy, and the
 * files that either names.
 */
import {
  type ApplicationSettings,
  combinedSettings,
  type Use,
} from '../model/policy/combined-settings.js'
import type { Policy } from '../model/policy/policy.js'
import {
  type DatagramSecuritySettings,
  type ParsedSettings,
  parseSettings,
  type SecuritySettings,
  type SocketKind,
} from '../model/settings.js'
import { readCredentialFiles } from './credential-files.js'
import { currentPolicy } from './current-policy.js'

export interface SettingsSource {
  /**
   * Cheap; the same object until something has changed: the policy, by reloadPolicy(), or a file.
   * @throws SocketSecurityError where the policy, as it is now, does not let this socket go on
   */
  current(): ParsedSettings
}

/**
 * Settings of a socket, by R10.
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
  application: ApplicationSettings | null | undefined,
  kind: SocketKind,
  use: Use = 'client',
): SettingsSource {
  const policy = currentPolicy()
  const settings = settingsUnder(policy, application, kind, use)
  return { current: () => settings }
}

function settingsUnder(
  policy: Policy | null,
  application: ApplicationSettings | null | undefined,
  kind: SocketKind,
  use: Use,
): ParsedSettings {
  const alone = parseSettings(application as SecuritySettings, kind as 'stream')
  if (policy === null) return alone
  const combined = combinedSettings(policy, { ...application }, kind, use)
  return parseSettings(readCredentialFiles(combined), kind as 'stream')
}
