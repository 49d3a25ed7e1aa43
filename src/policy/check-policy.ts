/** What an administrator asks before a policy is in force. */
import { resolve } from 'node:path'
import type { PolicyProblem } from '../model/policy/problems.js'
import { administratorsFile, fileInForce, inspectPolicyFile } from './read-policy.js'

export interface PolicyCheck {
  /** The file that was looked at; null where none is in force. */
  readonly file: string | null
  /** Everything that is wrong with it, and with the files that it names; empty where it can be used. */
  readonly problems: readonly PolicyProblem[]
}

/** The places of a policy, in the order in which they count. */
export const policyPlaces: readonly string[] = [administratorsFile, 'SECURE_SOCKET_POLICY']

/**
 * Looks at a policy file, its credentials and who may change them, as this process would use them.
 * Changes nothing, and never throws.
 * @param file absent: the one in force
 */
export function checkPolicy(file?: string): PolicyCheck {
  let inForce: string | undefined
  try {
    inForce = file ?? fileInForce()
  } catch (error) {
    return {
      file: administratorsFile,
      problems: [{ path: '$', message: (error as Error).message }],
    }
  }
  if (inForce === undefined) return { file: null, problems: [] }
  const { problems } = inspectPolicyFile(resolve(inForce))
  return { file: resolve(inForce), problems }
}
