/** Identities as files, for programs that read nothing else. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/**
 * A directory of this test's own, gone after it. Tap's test directories are named after the test, so
 * two runs at once would meet there; and their paths are too long for a unix socket.
 */
export function ownDirectory(t: Test, contents: Record<string, string | Uint8Array> = {}): string {
  const path = mkdtempSync(join(tmpdir(), 'interop-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  for (const [name, content] of Object.entries(contents)) writeFileSync(join(path, name), content)
  return path
}

export type Save = <T extends object>(contents: T) => Record<keyof T & string, string>

/** Gives what saves things to files: `{cert, key}` becomes their paths. */
export function files(t: Test): Save {
  const root = ownDirectory(t)
  let count = 0
  return <T extends object>(contents: T) => {
    count += 1
    const place = join(root, String(count))
    mkdirSync(place)
    const paths = Object.entries(contents).map(([name, content]) => {
      const path = join(place, name)
      writeFileSync(path, content)
      return [name, path]
    })
    return Object.fromEntries(paths) as Record<keyof T & string, string>
  }
}
