import { administratorsFile, fileInForce, inspectPolicyFile } from '../policy/read-policy.js'

/** The administrator's policy as this process would use it. */
export interface PolicyInForce {
  /** Null: there is none. */
  readonly file: string | null
  /** Where it was looked for: a file, and the variable that names another. */
  readonly places: readonly string[]
  /** Why sockets will not be secured by it: each where it stands in the file. */
  readonly problems: readonly Problem[]
}

export interface Problem {
  /** A JSON path, such as `$.identity.key`. */
  readonly path: string
  readonly message: string
}

/** Never throws. */
export function policyInForce(): PolicyInForce {
  const places = [administratorsFile, 'SECURE_SOCKET_POLICY']
  try {
    const file = fileInForce()
    if (file === undefined) return { file: null, places, problems: [] }
    return { file, places, problems: inspectPolicyFile(file).problems }
  } catch (error) {
    // It cannot be said which file it is.
    const { message } = error as Error
    return { file: administratorsFile, places, problems: [{ path: '$', message }] }
  }
}

/** A line each, as people read it. */
export function problemLines(problems: readonly Problem[]): string {
  return problems.map(({ path, message }) => `  ${path} ${message}\n`).join('')
}
