// Finds the tests of a suite in a checkout of Node's own tests and reads what each asks for.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The suites that drop-ins for `net` and `dgram` must carry: their own, and `http`, which stands on `net`. */
export const suiteNames = ['net', 'http', 'dgram']

/**
 * Lists the tests of one suite, in the order in which they run.
 *
 * @param {string} directory a checkout that contains `test/parallel`, or that `test` folder itself
 * @param {string} suite one of `suiteNames`
 * @param {RegExp} [only] keeps the tests whose name matches
 */
export function findTests(directory, suite, only) {
  const root = testRoot(directory)
  return ['parallel', 'sequential'].flatMap(folder =>
    readdirSync(join(root, folder))
      .filter(name => name.startsWith(`test-${suite}-`) && /\.[cm]?js$/.test(name))
      .map(name => ({ id: `${folder}/${name}`, suite, folder, file: join(root, folder, name) }))
      .filter(test => !only || only.test(test.id))
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map(test => ({ ...test, ...demands(test.file) })),
  )
}

/** The folder that holds `parallel`, `sequential` and `common`. */
export function testRoot(directory) {
  const root = [join(directory, 'test'), directory].find(candidate =>
    ['parallel', 'common'].every(folder => existsSync(join(candidate, folder))),
  )
  if (!root) throw new Error(`${directory} has no test/parallel: is it a checkout of Node's tests?`)
  return root
}

/** What a test's leading comments ask for: flags of node, and variables of the environment. */
function demands(file) {
  const source = readFileSync(file, 'utf8')
  const values = keyword =>
    [...source.matchAll(new RegExp(`^//\\s+${keyword}:(.*)$`, 'gm'))].flatMap(match =>
      match[1].trim().split(/\s+/),
    )
  const variables = values('Env').map(pair => {
    const at = pair.indexOf('=')
    return [pair.slice(0, at), pair.slice(at + 1)]
  })
  return { flags: values('Flags'), env: Object.fromEntries(variables) }
}
