// What test files have said that were run one by one, in TAP.

/**
 * @typedef {object} Outcome of one file
 * @property {string} output in TAP
 * @property {number | null} code the exit code
 * @property {number} [late] the seconds after which it was ended
 * @property {number} seconds that it took
 */

/** @typedef {{passed: number, failed: number, skipped: number}} Counts */

/** Adds what somebody else has counted to a sum. */
export function add(total, counts) {
  for (const key of ['passed', 'failed', 'skipped']) total[key] += counts[key]
}

/** @returns {string} such as "12 passed, 0 failed, 1 skipped" */
export function summary({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`
}

/**
 * Prints one line for a file that passes, with what it skipped; all that it said where one fails.
 * @param {string} name
 * @param {Outcome} outcome
 * @returns {Counts}
 */
export function showFile(name, { output, code, late, seconds }) {
  const counts = count(output)
  const complaint = complaintAbout(counts, code, late)
  if (complaint) counts.failed++

  const failed = counts.failed > 0
  const title = `${failed ? 'not ok' : 'ok'} - ${name}`
  console.log(`${title} # ${seconds.toFixed(1)} s, ${summary(counts)}`)
  for (const line of failed ? troubles(output) : lines(output).filter(isSkip))
    console.log(`    ${line}`)
  if (complaint) console.log(`    not ok - ${complaint}`)
  return counts
}

function complaintAbout({ passed, failed, skipped }, code, late) {
  if (late) return `it did not end within ${late} s`
  if (code !== 0 && failed === 0) return `it ended with code ${code}`
  if (passed + failed + skipped === 0) return 'it tested nothing'
  return undefined
}

/** What TAP's last comment says, or the points themselves where the program did not get that far. */
function count(output) {
  // tap leaves out the whole file, and says why.
  if (/^1\.\.0 # ./m.test(output)) return { passed: 0, failed: 0, skipped: 1 }
  const end = /^# \{ (total: .*) \}\r?$/m.exec(output)?.[1]
  if (end) {
    const number = key => Number(new RegExp(`\\b${key}: (\\d+)`).exec(end)?.[1] ?? 0)
    const skipped = number('skip') + number('todo')
    return { passed: number('pass'), failed: number('fail'), skipped }
  }
  const points = lines(output).filter(line => /^ *(not )?ok /.test(line))
  const failed = points.filter(line => /^ *not ok /.test(line) && !isSkip(line)).length
  const skipped = points.filter(isSkip).length
  return { passed: points.length - failed - skipped, failed, skipped }
}

/** What a file has said, but of the tests that passed only the verdict. */
function troubles(output) {
  const shown = []
  let start = 0
  for (const line of lines(output)) {
    if (line.startsWith('# Subtest: ')) start = shown.length
    shown.push(line)
    if (!line.startsWith('ok ')) continue
    shown.splice(start, shown.length, line)
    start = shown.length
  }
  return shown
}

function lines(output) {
  return output.split(/\r?\n/)
}

function isSkip(line) {
  return /^ *(not )?ok .*# (SKIP|TODO)|^1\.\.0 # ./i.test(line)
}
