import { problemText } from '../../model/policy/problems.js'
import { checkPolicy, type PolicyCheck } from '../../policy/check-policy.js'
import { administratorsFile } from '../../policy/read-policy.js'

/**
 * The variable that names the policy, where one was given.
 * @param given an absolute path; undefined: whatever is in force
 * @throws Error with every problem: a program whose sockets will all fail is not begun
 */
export function usablePolicy(given: string | undefined): { SECURE_SOCKET_POLICY?: string } {
  const inForce = checkPolicy()
  if (given === undefined) {
    refuseProblems(inForce)
    return {}
  }
  if (inForce.file === administratorsFile && given !== administratorsFile)
    throw new Error(`--policy is of no effect here: this machine has a policy, ${inForce.file}`)
  refuseProblems(checkPolicy(given))
  return { SECURE_SOCKET_POLICY: given }
}

function refuseProblems({ file, problems }: PolicyCheck): void {
  const lines = problems.map(each => `\n  ${problemText(each)}`)
  if (lines.length > 0) throw new Error(`the policy ${file} cannot be used:${lines.join('')}`)
}
