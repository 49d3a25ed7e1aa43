/** Where the policy is, and how it is read. */
import { lstatSync, readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { SocketSecurityError } from '../model/errors.js'
import { parsePolicy } from '../model/policy/parse.js'
import type { Policy } from '../model/policy/policy.js'

const variable = process.env.SECURE_SOCKET_POLICY

/** The administrator's own place, which no variable overrides. */
export const policyFile =
  process.platform === 'win32'
    ? join(process.env.ProgramData ?? 'C:\\ProgramData', 'secure-socket', 'policy.json')
    : '/etc/secure-socket/policy.json'

export function readPolicy(): Policy | null {
  const file = fileInForce()
  if (file === undefined) return null
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw unusable(file, `it cannot be read (${(error as Error).message})`, error)
  }
  return parsePolicy(text, file)
}

function fileInForce(): string | undefined {
  if (lstatSync(policyFile, { throwIfNoEntry: false })) return policyFile
  if (!variable) return undefined
  if (!isAbsolute(variable))
    throw unusable(variable, 'SECURE_SOCKET_POLICY must be an absolute path')
  return variable
}

function unusable(file: string, why: string, cause?: unknown): Error {
  return new SocketSecurityError(
    'ERR_POLICY_INVALID',
    `the policy ${file} cannot be used: ${why}`,
    { cause },
  )
}
