// What the runner says: a line that moves while it works, a table, and every difference.

import { succeeded } from './run.mjs'

/** A counter on a terminal; in a log, one line at the end. */
export function progress(label, total) {
  const started = performance.now()
  return (result, done) => {
    const seconds = Math.round((performance.now() - started) / 1000)
    if (process.stdout.isTTY) {
      process.stdout.write(`\r\x1b[K${label} ${done}/${total} ${result.test.id}`)
      if (done === total) process.stdout.write(`\r\x1b[K${label}: ${total} tests in ${seconds} s\n`)
    } else if (done === total) console.log(`${label}: ${total} tests in ${seconds} s`)
  }
}

/** One row for each suite. */
export function showTable(suites) {
  const rows = suites.map(({ name, plain, secured, differences, crashes, target }) => [
    name,
    String(plain.size),
    count(plain, succeeded),
    secured.size === 0 ? '-' : count(secured, succeeded),
    target ? String(target) : '-',
    String(differences.length),
    String(crashes.length),
    count(new Map([...plain, ...secured]), ({ flaky }) => flaky),
  ])
  const head = ['suite', 'tests', 'plain', 'secured', 'target', 'differences', 'crashes', 'flaky']
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map(row => row[i].length)))
  const line = cells =>
    cells.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join('  ')

  console.log(`\n${line(head)}`)
  console.log(widths.map(width => '-'.repeat(width)).join('  '))
  for (const row of rows) console.log(line(row))
}

/** Every difference with its reason, what is wrong with the run, and what the list no longer needs. */
export function showDifferences({ name, plain, secured, differences, failures, healed }, verbose) {
  if (secured.size === 0) {
    for (const result of plain.values()) {
      if (!succeeded(result)) console.log(`\n${describe(result)}${verbose ? quote(result) : ''}`)
    }
    return
  }
  if (differences.length > 0) console.log(`\n${name}: what passes plain and not secured`)
  for (const difference of differences) {
    console.log(`  ${describe(difference)}\n    ${difference.reason ?? 'UNEXPLAINED'}`)
    if (verbose) console.log(quote(difference))
  }
  for (const id of healed) console.log(`  ${id} passes now: take it off the list`)
  for (const failure of failures) console.log(`  FAILED ${failure}`)
}

const count = (results, predicate) => String([...results.values()].filter(predicate).length)

const describe = ({ test, status, signal }) => `${test.id}  ${status}${signal ? ` ${signal}` : ''}`

const quote = ({ output }) => output.trimEnd().slice(-6000).replace(/^/gm, '      | ')
