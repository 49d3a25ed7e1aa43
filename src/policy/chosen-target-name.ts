/** Whom a peer must prove to be, by the application and by the policy (R10). */
import { forbidden, mayApplicationSet } from '../model/policy/combined-settings.js'
import type { Flow } from '../model/policy/flow-rule.js'
import type { Policy } from '../model/policy/policy.js'
import { targetNameFor } from '../model/policy/target-names.js'
import type { ParsedSettings } from '../model/settings.js'
import { parseTargetNameFor, type TargetName } from '../model/target-name.js'
import { currentPolicy } from './current-policy.js'

/**
 * The name that was chosen for the peer of a flow: by the policy, or by the application as far as the
 * policy lets it. Undefined where nobody has chosen one: then it is the host.
 * @param application the name that the application has set
 * @throws SocketSecurityError ERR_POLICY_FORBIDS, ERR_POLICY_INVALID
 */
export function chosenTargetName(
  application: TargetName | null | undefined,
  settings: ParsedSettings | null,
  flow: Flow,
): TargetName | undefined {
  const policy = currentPolicy()
  if (policy === null) return application ?? undefined
  const text = targetNameFor(policy, flow)
  const own = text === undefined ? undefined : parseTargetNameFor(settings, text)
  if (!application) return own
  if (own?.text === application.text || mayApplicationSet(policy, 'peerTargetName'))
    return application
  if (own !== undefined) throw mayNotBeSet(policy, 'the policy names another for that peer')
  // A pinned key is trusted without any authority: it would stand in for the trust that the policy sets.
  if (application.kind === 'pin' && setsTrust(policy))
    throw mayNotBeSet(policy, 'a pinned key needs no authority, and the policy says whom to trust')
  return application
}

/**
 * The same without an error: of two names that differ, the policy's, unless it lets the application
 * choose. For handshakes that somebody else has begun.
 */
export function nameByPolicy(
  application: TargetName | undefined,
  settings: ParsedSettings | null,
  flow: Flow,
): TargetName | undefined {
  const policy = currentPolicy()
  const text = targetNameFor(policy, flow)
  if (policy === null || text === undefined) return application
  if (application !== undefined && mayApplicationSet(policy, 'peerTargetName')) return application
  return parseTargetNameFor(settings, text)
}

function setsTrust({ settings: { client, datagram } }: Policy): boolean {
  return [client, datagram].some(each => each.ca !== undefined || each.psk !== undefined)
}

function mayNotBeSet(policy: Policy, why: string): Error {
  return forbidden(policy, 'peerTargetName', 'peerTargetName', why)
}
