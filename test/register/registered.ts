/** Programs that know nothing of this library, run under `register`, with a policy that a test writes. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { testIdentity } from '../support/identities.js'
import { launch, type Program } from '../support/program.js'
import { root } from '../support/project-root.js'

export const fixture = (name: string): string => join(root, 'test/register/fixtures', name)

/** Writes credentials that peers of tests trust, and a policy with them. */
export async function policyFile(t: Test, policy: object = {}): Promise<string> {
  const folder = t.testdir()
  const { cert, key, ca } = await testIdentity()
  const files = { 'host.crt': cert, 'host.key': key, 'ca.crt': ca as string }
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(folder, name), content, { mode: 0o600 })
  const file = join(folder, 'policy.json')
  const identity = { cert: 'host.crt', key: 'host.key', ca: ['ca.crt'] }
  writeFileSync(file, JSON.stringify({ identity, ...policy }), { mode: 0o600 })
  return file
}

export interface Registered {
  /** Of the policy; undefined for none. */
  readonly policy: string | undefined
  readonly flags?: readonly string[]
  readonly cwd?: string
}

/** Starts a fixture under `register`. */
export function registered(
  t: Test,
  [name, ...args]: readonly [string, ...string[]],
  { policy, flags = ['--require', registerFile], cwd = root }: Registered,
): Program {
  const env = { SECURE_SOCKET_POLICY: policy, NODE_OPTIONS: undefined }
  return launch(t, process.execPath, [...flags, fixture(name), ...args], { cwd, env })
}

export const registerFile = join(root, 'dist/register.cjs')
