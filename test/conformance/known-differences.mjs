// The differences that are understood: what a secured socket cannot, or will not, do like a plain one.

import { readFileSync } from 'node:fs'

/**
 * Reads `known-differences/<suite>.json`:
 *
 *     {
 *       "targets": { "20": 138 },               fewest secured passes, by Node's major version
 *       "differences": {
 *         "parallel/test-net-a.js": "one line that says why",
 *         "parallel/test-net-b.js": { "reason": "one line", "from": 22, "to": 24 }
 *       }
 *     }
 *
 * The target of the highest version that is not above `major` counts, since suites only grow.
 */
export function readKnownDifferences(suite, major) {
  const file = new URL(`./known-differences/${suite}.json`, import.meta.url)
  const { targets, differences } = JSON.parse(readFileSync(file, 'utf8'))

  const reasons = new Map()
  for (const [id, entry] of Object.entries(differences)) {
    const {
      reason,
      from = 0,
      to = Infinity,
    } = typeof entry === 'string' ? { reason: entry } : entry
    if (major >= from && major <= to) reasons.set(id, reason)
  }
  const version = Math.max(
    ...Object.keys(targets)
      .map(Number)
      .filter(v => v <= major),
  )
  return { reasons, target: targets[version] ?? 0 }
}
