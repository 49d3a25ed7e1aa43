// The differences that are understood: what a secured socket cannot, or will not, do like a plain one.

import { readFileSync } from 'node:fs'

/**
 * Reads `known-differences/<suite>.json`:
 *
 *     {
 *       "targets": { "20": 138 },               fewest secured passes, by Node's major version
 *       "registered": { "20": 137 },            the same through register, where it is not the same
 *       "differences": {
 *         "parallel/test-net-a.js": "one line that says why",
 *         "parallel/test-net-b.js": { "reason": "one line", "from": 22, "to": 24 },
 *         "parallel/test-net-c.js": { "reason": "one line", "race": true },
 *         "parallel/test-dgram-d.js": { "reason": "one line", "channel": "batch" },
 *         "parallel/test-dgram-e.js": [one of these, another one]
 *       }
 *     }
 *
 * `from` and `to` are major versions of Node. `mutual`: only when clients authenticate too. `channel`:
 * only where datagrams travel so. `through`: only where tests are secured that way. `race`: it passes at
 * times. `abort`: the test makes an assertion inside Node fail; any other crash is a failure
 * whatever the list says. The target of the highest version that is not above `major` counts, since
 * suites only grow. Of several entries for one test the first that applies counts.
 *
 * @returns the target, and a Map from a test to its entry
 */
export function readKnownDifferences(suite, major, options = {}) {
  const { mutual = false, channel = 'portable', through = 'faces' } = options
  const file = new URL(`./known-differences/${suite}.json`, import.meta.url)
  const { registered, differences, ...written } = JSON.parse(readFileSync(file, 'utf8'))
  const targets = (through === 'register' && registered) || written.targets

  const known = new Map()
  const applies = ({ from = 0, to = Infinity, ...entry }) =>
    major >= from &&
    major <= to &&
    (mutual || !entry.mutual) &&
    (!entry.channel || entry.channel === channel) &&
    (!entry.through || entry.through === through)
  for (const [id, listed] of Object.entries(differences)) {
    const entries = [listed].flat().map(e => (typeof e === 'string' ? { reason: e } : e))
    const entry = entries.find(applies)
    if (entry) known.set(id, entry)
  }
  const version = Math.max(
    ...Object.keys(targets)
      .map(Number)
      .filter(v => v <= major),
  )
  return { known, target: targets[version] ?? 0 }
}
