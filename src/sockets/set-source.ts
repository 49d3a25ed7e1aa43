import type { ParsedSettings } from '../model/settings.js'
import type { SettingsSource } from '../policy/source.js'

/** What a socket of any class keeps of its settings. */
interface Configured {
  /** Where they come from, once they are set. */
  source: SettingsSource | null
  /** As they were when they were asked for last. */
  settings: ParsedSettings | null
  /** What was asked for in options while the policy refused it. */
  asked: unknown
}

/** @throws SocketSecurityError where the policy refuses them; then nothing has changed */
export function setSource(state: Configured, source: SettingsSource): void {
  state.settings = source.current()
  state.source = source
  state.asked = null
}
