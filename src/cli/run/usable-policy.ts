import { administratorsFile, inspectPolicyFile } from '../../policy/read-policy.js'
import { type PolicyInForce, policyInForce, problemLines } from '../policy-in-force.js'

/**
 * The variable that names the policy, where one was given.
 * @param given an absolute path; undefined: whatever is in force
 * @throws Error with every problem: a program whose sockets will all fail is not begun
 */
export function usablePolicy(given: string | undefined): { SECURE_SOCKET_POLICY?: string } {
  const found = policyInForce()
  if (given === undefined) {
    check(found)
    return {}
  }
  if (found.file === administratorsFile && given !== administratorsFile)
    throw new Error(`--policy is of no effect here: this machine has a policy, ${found.file}`)
  check({ file: given, places: [given], problems: inspectPolicyFile(given).problems })
  return { SECURE_SOCKET_POLICY: given }
}

function check({ file, problems }: PolicyInForce): void {
  if (problems.length > 0)
    throw new Error(`the policy ${file} cannot be used:\n${problemLines(problems).trimEnd()}`)
}
