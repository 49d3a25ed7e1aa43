/** Where the settings of a socket come from, again each time that it secures something. */
import type { ParsedSettings } from '../model/settings.js'

export interface SettingsSource {
  /**
   * Cheap; the same object until something has changed: the policy, by reloadPolicy(), or a file.
   * @throws SocketSecurityError where the policy, as it is now, does not let this socket go on
   */
  current(): ParsedSettings
}
