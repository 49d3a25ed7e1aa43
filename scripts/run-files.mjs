// What the runners of test files have in common: several files at once, and once more what fails.

import { add, showFile, summary } from './test-output.mjs'

/** @typedef {import('./test-output.mjs').Counts & {failedFiles: readonly unknown[]}} Result */

/** More files than these do not fail because the machine was busy. */
const mostRunAgain = 3

/**
 * Files that failed are run once more, alone: a test with a deadline can fail on a busy machine. That they
 * did is told, in a line that begins with "flaky:", and is not forgotten.
 *
 * @template File that its string names
 * @param {readonly File[]} files
 * @param {(files: readonly File[], options: {again: boolean}) => Promise<Result>} run those files; again: one
 *   by one
 * @returns {Promise<import('./test-output.mjs').Counts>}
 */
export async function runAgainWhatFails(files, run) {
  const { failedFiles, ...counts } = await run(files, { again: false })
  if (counts.failed === 0 || failedFiles.length > mostRunAgain) return counts

  console.log('\n> once more, alone')
  const { failedFiles: _, ...again } = await run(failedFiles, { again: true })
  console.log(`> of these ${summary(again)}`)
  if (again.failed > 0) return counts
  for (const file of failedFiles)
    console.log(`flaky: ${file} failed, and passed when it was run alone`)
  return { ...counts, passed: counts.passed + counts.failed, failed: 0 }
}

/**
 * Runs files in several places at once: whichever has done one takes the next.
 *
 * @template File that its string names
 * @template Place
 * @param {readonly File[]} files
 * @param {readonly Place[]} places
 * @param {(file: File, place: Place) => Promise<import('./test-output.mjs').Outcome>} runFile
 * @returns {Promise<Result>}
 */
export async function share(files, places, runFile) {
  const result = { passed: 0, failed: 0, skipped: 0, failedFiles: [] }
  const waiting = [...files]
  const work = async place => {
    for (let file = waiting.shift(); file; file = waiting.shift()) {
      const counts = showFile(`${file}`, await runFile(file, place))
      if (counts.failed > 0) result.failedFiles.push(file)
      add(result, counts)
    }
  }
  await Promise.all(places.map(work))
  return result
}
