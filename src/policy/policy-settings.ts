/** What the policy makes of the settings of an application, with the files that either names. */
import { SocketSecurityError } from '../model/errors.js'
import { combinedSettings, type Use } from '../model/policy/combined-settings.js'
import type { Policy } from '../model/policy/policy.js'
import { type AnySettings, parseSettings, type SocketKind } from '../model/settings.js'
import { fileSource } from './file-settings.js'
import { checkSecretFile } from './permissions.js'
import { isPolicyError } from './policy-errors.js'
import type { SettingsSource } from './source.js'

/**
 * The files are read once for all sockets with the same settings.
 * @throws SocketSecurityError ERR_POLICY_FORBIDS, ERR_POLICY_INVALID
 */
export function sourceUnder(
  policy: Policy,
  application: AnySettings,
  kind: SocketKind,
  use: Use,
): SettingsSource {
  const combined = combinedSettings(policy, application, kind, use)
  try {
    return readSource(combined, kind)
  } catch (error) {
    if (!(error instanceof SocketSecurityError) || isPolicyError(error)) throw error
    const asks = Object.values(application).some(value => value !== undefined)
    const [code, what] = asks
      ? (['ERR_POLICY_FORBIDS', 'does not go together with these settings'] as const)
      : (['ERR_POLICY_INVALID', 'cannot be used'] as const)
    throw new SocketSecurityError(code, `the policy ${policy.file} ${what}: ${error.message}`, {
      cause: error,
      syscall: 'WSASetSocketSecurity',
    })
  }
}

/**
 * Settings in which URLs stand for files, whose secrets nobody else may read.
 * @throws SocketSecurityError EINVAL, EOPNOTSUPP
 */
export function readSource(
  settings: Readonly<Record<string, unknown>>,
  kind: SocketKind,
): SettingsSource {
  const files = fileSource(settings, kind, checkSecretFile)
  if (files) return files
  const parsed = parseSettings(settings, kind)
  return { current: () => parsed }
}
