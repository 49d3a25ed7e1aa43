import type { Finding } from './finding.js'

const words: Record<Finding['status'], string> = {
  works: 'ok',
  fails: 'FAILS',
  missing: 'no',
  elsewhere: 'no',
}

/** What people read: a line each, and then what is to be done. */
export function readable(version: string, findings: readonly Finding[]): string {
  const shown = findings.filter(({ status }) => status !== 'elsewhere')
  const width = Math.max(...shown.map(({ title }) => title.length))
  const lines = shown.map(
    ({ status, title, summary }) =>
      `  ${words[status].padEnd(5)}  ${title.padEnd(width)}  ${summary}\n`,
  )
  const remedies = shown.flatMap(({ title, remedies = [] }) =>
    remedies.map(remedy => `  ${title}: ${remedy}\n`),
  )
  const todo = remedies.length > 0 ? `\nTo do:\n${remedies.join('')}` : ''
  return `secure-socket ${version}\n\n${lines.join('')}${todo}`
}
