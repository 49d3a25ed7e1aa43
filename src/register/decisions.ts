/** What the policy leaves in clear. One that cannot be used leaves nothing: its error is told where it is secured. */
import { type Flow, mayStayClear, needsAddress, staysClear } from '../model/policy/flows.js'
import type { Policy } from '../model/policy/policy.js'
import { currentPolicy } from '../policy/current-policy.js'

export function isClear(flow: Flow): boolean {
  return staysClear(policyNow(), flow)
}

/** Can a look-up of the host make it clear? */
export function isUndecided(flow: Flow): boolean {
  return needsAddress(policyNow(), flow)
}

/** Can there be anything of that kind that stays clear? */
export function someAreClear(transport: Flow['transport'], direction?: Flow['direction']): boolean {
  return mayStayClear(policyNow(), transport, direction)
}

/** Null also where there is one that cannot be used. */
export function policyNow(): Policy | null {
  try {
    return currentPolicy()
  } catch {
    return null
  }
}
