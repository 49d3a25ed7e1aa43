/** What is wrong with a policy: all of it, each with the place where it stands. */
import { SocketSecurityError } from '../errors.js'

/** One thing that is wrong with a policy. */
export interface PolicyProblem {
  /** Where, as in JSONPath: `$.streams.minVersion`; `$` is the file itself. */
  readonly path: string
  /** What is wrong there, and what to do. */
  readonly message: string
}

/** ERR_POLICY_INVALID with every problem. */
export function invalidPolicy(
  file: string,
  problems: readonly PolicyProblem[],
  cause?: unknown,
): SocketSecurityError {
  const lines = problems.map(problemText)
  return new SocketSecurityError(
    'ERR_POLICY_INVALID',
    `the policy ${file} cannot be used, so nothing is secured by it and nothing goes clear: ${
      lines.length === 1 ? lines[0] : `\n  ${lines.join('\n  ')}`
    }`,
    { cause },
  )
}

/** In one line. */
export function problemText({ path, message }: PolicyProblem): string {
  return `${path} ${message}`
}
