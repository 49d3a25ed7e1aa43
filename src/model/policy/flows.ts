/** What `secure-socket/register` leaves as it is. */
import { addressOf, type Flow, matches } from './flow-rule.js'
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

/**
 * Could anything of that kind stay clear? Where not, nobody need look at each flow.
 * @param direction absent: either
 */
export function mayStayClear(
  policy: Policy | null,
  transport: Flow['transport'],
  direction?: Flow['direction'],
): boolean {
  return (
    policy?.clear.some(
      rule =>
        (transport === 'pipe') === (rule.pipes === true) &&
        isOneOf(transport, rule.transport) &&
        isOneOf(direction, rule.direction),
    ) ?? false
  )
}

/** It does not stay clear as it is, but with an address it might: then the name is to be looked up. */
export function needsAddress(policy: Policy | null, flow: Flow): boolean {
  if (policy === null || addressOf(flow) !== undefined || staysClear(policy, flow)) return false
  return policy.clear.some(
    ({ addresses, ...others }) => addresses !== undefined && matches(others, flow),
  )
}

function isOneOf<T>(value: T | undefined, wanted: T | undefined): boolean {
  return value === undefined || wanted === undefined || value === wanted
}
