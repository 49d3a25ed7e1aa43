/**
 * The administrator's policy of this thread: read at its first use, and again when somebody asks for it.
 *
 * The variable is what it was when this module was loaded, so what a program does to its environment
 * later, or reads into it from a file, changes nothing.
 */
import type { Policy } from '../model/policy/policy.js'
import { readPolicy } from './read-policy.js'

let known: { readonly policy: Policy | null } | { readonly error: Error } | undefined

/**
 * The policy; null where there is none.
 * @throws SocketSecurityError ERR_POLICY_INVALID, the same each time, until a reload has succeeded
 */
export function currentPolicy(): Policy | null {
  if (known === undefined) {
    try {
      known = { policy: readPolicy() }
    } catch (error) {
      known = { error: error as Error }
    }
  }
  if ('error' in known) throw known.error
  return known.policy
}

/**
 * Reads the policy again. It is replaced as a whole or not at all: what cannot be used leaves the one
 * before it in force.
 * @throws SocketSecurityError ERR_POLICY_INVALID
 */
export function reloadPolicy(): void {
  known = { policy: readPolicy() }
}
