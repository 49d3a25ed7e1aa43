/** Errors that are the administrator's affair, and not the program's. */
import { SocketSecurityError } from '../model/errors.js'

/** Does the policy forbid it, or is it unusable itself? */
export function isPolicyError(error: unknown): boolean {
  return error instanceof SocketSecurityError && error.code.startsWith('ERR_POLICY_')
}
