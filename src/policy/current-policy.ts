/** The administrator's policy of this thread: read at its first use, and again when somebody asks for it. */
import type { Policy } from '../model/policy/policy.js'
import { readPolicy } from './read-policy.js'

let known: { readonly policy: Policy | null } | { readonly error: unknown } | undefined

/**
 * The policy; null where there is none.
 * @throws SocketSecurityError ERR_POLICY_INVALID, the same each time, until a reload has succeeded
 */
export function currentPolicy(): Policy | null {
  if (known === undefined) {
    try {
      known = { policy: readPolicy() }
    } catch (error) {
      known = { error }
    }
  }
  if ('error' in known) throw known.error
  return known.policy
}

/**
 * Reads the policy again. It takes the place of the one before as a whole, or not at all. Associations
 * go on; what is secured next is secured by the new one. Of this thread: each worker reads its own.
 * @throws SocketSecurityError ERR_POLICY_INVALID; then the policy is the one before
 */
export function reloadPolicy(): void {
  known = { policy: readPolicy() }
}

/** For tests: puts this in the place of what is read. A policy, none, or why there cannot be one. */
export function setPolicy(policy: Policy | Error | null): void {
  known = policy instanceof Error ? { error: policy } : { policy }
}
