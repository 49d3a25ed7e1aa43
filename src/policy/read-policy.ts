/** Where the policy is, and what is in it: the text, the files that it names, and who could change them. */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  statSync,
} from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { SocketSecurityError } from '../model/errors.js'
import { inspectPolicy } from '../model/policy/parse.js'
import type { Policy, PolicyFile } from '../model/policy/policy.js'
import { invalidPolicy, type PolicyProblem } from '../model/policy/problems.js'
import { checkSecretFile, checkUnchangeable, checkWay } from './permissions.js'
import { sourceUnder } from './policy-settings.js'

/** The administrator's own place, which no variable overrides. */
export const administratorsFile =
  process.platform === 'win32'
    ? join(process.env.ProgramData ?? 'C:\\ProgramData', 'secure-socket', 'policy.json')
    : '/etc/secure-socket/policy.json'

/**
 * The variable as it was when this was loaded: what a program does to its environment later, or reads
 * into it from a file, changes nothing.
 */
const variable = process.env.SECURE_SOCKET_POLICY

const MAX_BYTES = 1024 * 1024

/** What a policy file is worth. */
export interface InspectedPolicy {
  /** Null where there are problems. */
  readonly policy: Policy | null
  readonly problems: readonly PolicyProblem[]
  /** The error of the system, where the file could not be read. */
  readonly cause?: unknown
}

/** The file of a policy, whether or not it can be used. */
export interface LocatedPolicy {
  /** Undefined where there is none. */
  readonly file: string | undefined
  /** Why it cannot be said whether the file is the policy. */
  readonly problems: readonly PolicyProblem[]
  readonly cause?: unknown
}

/**
 * The policy in force; null where there is none.
 * @throws SocketSecurityError ERR_POLICY_INVALID with every problem
 */
export function readPolicy(): Policy | null {
  const located = locatePolicy()
  const { file } = located
  if (file === undefined) return null
  if (located.problems.length > 0) throw invalidPolicy(file, located.problems, located.cause)
  const { policy, problems, cause } = inspectPolicyFile(file)
  if (policy === null) throw invalidPolicy(file, problems, cause)
  return policy
}

/** The file that counts on this machine, for this process. Never throws. */
export function locatePolicy(): LocatedPolicy {
  try {
    if (isThere(administratorsFile)) {
      if (variable && variable !== administratorsFile) warnOfVariable()
      return { file: administratorsFile, problems: [] }
    }
  } catch (cause) {
    const message = unreadable(administratorsFile, cause)
    return { file: administratorsFile, problems: [{ path: '$', message }], cause }
  }
  if (!variable) return { file: undefined, problems: [] }
  if (isAbsolute(variable)) return { file: variable, problems: [] }
  const message = 'is the value of SECURE_SOCKET_POLICY: give an absolute path there'
  return { file: variable, problems: [{ path: '$', message }] }
}

/** All that is wrong with a file, and with those that it names. Never throws. */
export function inspectPolicyFile(file: string): InspectedPolicy {
  let text: string
  try {
    text = readUnchangeable(file)
  } catch (error) {
    return {
      policy: null,
      problems: [{ path: '$', message: unreadable(file, error) }],
      cause: error,
    }
  }
  const { policy, problems } = inspectPolicy(text, file)
  if (policy === null) return { policy, problems }
  const found = policy.files.flatMap(inspectFile)
  // What is in the files is of interest where they can be used at all.
  if (found.length === 0) found.push(...inspectCredentials(policy))
  return { policy: found.length === 0 ? policy : null, problems: found }
}

/**
 * A link that leads nowhere is there, too: whoever put it there meant a policy.
 * @throws SocketSecurityError ERR_POLICY_INVALID; errors of the system: it cannot be said
 */
function isThere(file: string): boolean {
  if (lstatSync(file, { throwIfNoEntry: false })) return true
  const folder = dirname(file)
  if (!lstatSync(folder, { throwIfNoEntry: false })) return false
  // Whoever may change the folder can have taken the policy away.
  checkWay(folder)
  if (statSync(folder).isDirectory()) return false
  throw new Error(`${folder} is no folder`)
}

/** @throws SocketSecurityError ERR_POLICY_INVALID; errors of the system */
function readUnchangeable(file: string): string {
  checkWay(file)
  // A pipe would let us wait.
  const descriptor = openSync(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  try {
    const stats = fstatSync(descriptor, { bigint: true })
    checkUnchangeable(file, stats)
    if (!stats.isFile()) throw new Error('it is no regular file')
    if (stats.size > MAX_BYTES) throw new Error(`it has more than ${MAX_BYTES} bytes`)
    return readFileSync(descriptor, 'utf8')
  } finally {
    closeSync(descriptor)
  }
}

/** Whoever changes a certificate of ours, or one that we trust, decides whom we talk to. */
function inspectFile({ path, file, secret }: PolicyFile): PolicyProblem[] {
  try {
    checkWay(file)
    const check = secret ? checkSecretFile : checkUnchangeable
    check(file, statSync(file, { bigint: true }))
    return []
  } catch (error) {
    return [{ path, message: unreadable(file, error) }]
  }
}

/** Keys that are not those of their certificates, and whatever else cannot be used. */
function inspectCredentials(policy: Policy): PolicyProblem[] {
  const uses = [
    ['stream', 'client'],
    ['stream', 'server'],
    ['datagram', 'client'],
  ] as const
  const messages = uses.flatMap(([kind, use]) => {
    try {
      sourceUnder(policy, {}, kind, use)
      return []
    } catch (error) {
      const { cause, message } = error as Error
      return `cannot be used: ${cause instanceof Error ? cause.message : message}`
    }
  })
  return [...new Set(messages)].map(message => ({ path: '$.identity', message }))
}

function unreadable(file: string, error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException
  if (error instanceof SocketSecurityError) return `is refused: ${message}`
  if (code === 'ENOENT') return `leads to ${file}, which does not exist`
  if (code === 'ERR_ACCESS_DENIED')
    return `cannot be read: start Node with --allow-fs-read=${file} beside --permission`
  return `cannot be read: ${message}`
}

let warned = false

function warnOfVariable(): void {
  if (warned) return
  warned = true
  process.emitWarning(
    `SECURE_SOCKET_POLICY is of no effect here, since this machine has a policy: ${administratorsFile}`,
    { code: 'SECURE_SOCKET_POLICY_IGNORED' },
  )
}
