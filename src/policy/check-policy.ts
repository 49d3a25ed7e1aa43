/** What an administrator asks before a policy is in force. */
import { resolve } from 'node:path'
import type { PolicyProblem } from '../model/policy/problems.js'
import { inspectPolicyFile, locatePolicy } from './read-policy.js'

export interface PolicyCheck {
  /** The file that was looked at; null where none is in force. */
  readonly file: string | null
  /** Everything that is wrong with it, and with the files that it names; empty where it can be used. */
  readonly problems: readonly PolicyProblem[]
}

/**
 * Looks at a policy file, its credentials and who may change them, as this process would use them.
 * Changes nothing, and never throws.
 * @param given absent: the one in force
 */
export function checkPolicy(given?: string): PolicyCheck {
  if (given !== undefined) return inspected(resolve(given))
  const { file, problems } = locatePolicy()
  if (file === undefined) return { file: null, problems: [] }
  return problems.length > 0 ? { file, problems } : inspected(file)
}

function inspected(file: string): PolicyCheck {
  return { file, problems: inspectPolicyFile(file).problems }
}
