/** Whom the peer of a flow must prove to be, by the policy. */
import { type Flow, matches } from './flow-rule.js'
import type { Policy } from './policy.js'

/** The name of the first rule that matches; undefined where there is none: then the host is the name. */
export function targetNameFor(policy: Policy | null, flow: Flow): string | undefined {
  return policy?.targetNames.find(({ rule }) => matches(rule, flow))?.targetName
}
