/** The name for SNI (RFC 6066, section 3). */
import { isIP } from 'node:net'
import type { TargetName } from '../../model/target-name.js'

/** The host that the peer must prove to be, else what the application called it. Addresses are not sent. */
export function serverName(
  targetName: TargetName | undefined,
  host: string | undefined,
): string | undefined {
  const name = targetName?.kind === 'dns' || targetName?.kind === 'spn' ? targetName.host : host
  return name === undefined || isIP(name) !== 0 ? undefined : name
}
