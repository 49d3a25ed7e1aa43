// What a run says of itself: where it ran, and all of it as Markdown.

import { cpus, loadavg, release } from 'node:os'
import { markdownTable } from '../table.mjs'
import { meaning } from './meaning.mjs'
import { tables } from './tables.mjs'

/** What else the machine did before we came: a figure in seconds of CPU time knows of it. */
const [load] = loadavg()

/** On what it was measured. */
export function machine(rounds, limit, minutes) {
  const { node, openssl } = process.versions
  const processors = cpus()
  const cpu = `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown processor'}`
  const system = `${process.platform} ${release()} ${process.arch}`
  const text = [
    `Node ${node} with OpenSSL ${openssl}`,
    ...(limit ? [`the C program with OpenSSL ${limit}`] : []),
    system,
    cpu,
    `${rounds} rounds in ${minutes.toFixed(0)} minutes`,
    `load average ${load.toFixed(1)} before them`,
  ].join(', ')
  return { node, openssl, limit, system, cpu, rounds, minutes, load, text }
}

/** @param {{ name: string, alt: string }[]} plots */
export function markdown({ text, leftOut }, results, plots) {
  return `# Secured datagrams: what they cost

Written by \`npm run bench:datagrams\`. ${text}.
${leftOut.map(({ title, why }) => `\n**Left out:** ${title}: ${why}.\n`).join('')}
${plots.map(({ name, alt }) => `![${alt}](${name}.svg)`).join('\n\n')}

${tables(results)
  .map(({ title, rows, words }) => `## ${title}\n\n${markdownTable(rows, words)}`)
  .join('\n\n')}

${lossOf(results)}

${meaning}
`
}

function lossOf(results) {
  const all = results.flatMap(({ bench, subjects }) => (bench.kind === 'flood' ? [] : subjects))
  const sum = field => all.reduce((total, subject) => total + (subject[field] ?? 0), 0)
  // Each was sent once in each direction.
  const [lost, sent] = [sum('lost'), 2 * sum('units')].map(each => each.toLocaleString('en-US'))
  return `Lost on the way, but for the floods: ${lost} of ${sent} datagrams.`
}
