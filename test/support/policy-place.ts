/**
 * A place for the policy of this process. To be imported before anything of src, which looks at the
 * variable when it is loaded.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const policyFolder = mkdtempSync(join(tmpdir(), 'secure-socket-policy-'))
export const policyFile = join(policyFolder, 'policy.json')
process.env.SECURE_SOCKET_POLICY = policyFile
process.once('exit', () => rmSync(policyFolder, { recursive: true, force: true }))

/** Writes the policy, or whatever text is to stand for one. reloadPolicy() reads it. */
export function writePolicy(policy: object | string): void {
  writeFileSync(policyFile, typeof policy === 'string' ? policy : JSON.stringify(policy), {
    mode: 0o644,
  })
}

/** Writes a file beside it that only its owner may read. */
export function writeSecret(name: string, contents: string | Uint8Array): string {
  const path = join(policyFolder, name)
  writeFileSync(path, contents, { mode: 0o600 })
  return path
}
