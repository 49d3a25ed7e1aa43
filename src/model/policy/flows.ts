/** What `secure-socket/register` leaves as it is. */
import { type Flow, matches } from './flow-rule.js'
import type { Policy } from './policy.js'

export type { Flow } from './flow-rule.js'

/**
 * Does the policy leave this in clear? Never implicitly: without a policy, or without a rule that says
 * so, it is secured. A rule by address is not met by a name that nobody has looked up: give both where
 * both are known. For sockets that nobody has asked to be secured; an explicit one always is.
 */
export function staysClear(policy: Policy | null, flow: Flow): boolean {
  return policy?.clear.some(rule => matches(rule, flow)) ?? false
}
