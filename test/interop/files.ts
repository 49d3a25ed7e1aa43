/** Identities as files, for programs that read nothing else. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'

export type Save = <T extends object>(contents: T) => Record<keyof T & string, string>

/** Gives what saves things to files of the test's directory: `{cert, key}` becomes their paths. */
export function files(t: Test): Save {
  const root = t.testdir()
  let count = 0
  return <T extends object>(contents: T) => {
    count += 1
    const directory = join(root, String(count))
    mkdirSync(directory)
    const paths = Object.entries(contents).map(([name, content]) => {
      const path = join(directory, name)
      writeFileSync(path, content)
      return [name, path]
    })
    return Object.fromEntries(paths) as Record<keyof T & string, string>
  }
}
