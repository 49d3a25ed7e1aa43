// What the run says: on the terminal, and as Markdown.

import { cpus } from 'node:os'
import { markdownTable } from '../table.mjs'
import { subjectTitles } from './benches.mjs'

/** On what it was measured. */
export function machine(rounds) {
  const { node, openssl } = process.versions
  const processors = cpus()
  const cpu = `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown processor'}`
  const text = `Node ${node}, OpenSSL ${openssl}, ${process.platform} ${process.arch}, ${cpu}, ${rounds} rounds`
  return { node, openssl, platform: process.platform, arch: process.arch, cpu, rounds, text }
}

/** The table of everything but memory, and that of memory. */
export function tables(results) {
  const timed = results.filter(({ bench }) => bench.kind !== 'memory')
  const held = results.filter(({ bench }) => bench.kind === 'memory')
  return [
    timed.length > 0 && [
      [
        'bench',
        'subject',
        'per CPU second',
        'per second',
        'against node:tls',
        'middle half',
        'target',
      ],
      ...timed.flatMap(result =>
        rowsOf(result, ({ perCpu, perSecond }) => [
          `${number(perCpu)} ${result.bench.unit}`,
          number(perSecond),
        ]),
      ),
    ],
    held.length > 0 && [
      [
        'KiB of an idle pair',
        'subject',
        'heap',
        'external',
        'RSS',
        'heap against node:tls',
        'middle half',
        'target',
      ],
      ...held.flatMap(result =>
        rowsOf(result, ({ heap, external, rss }) => [heap, external, rss].map(oneDecimal)),
      ),
    ],
  ].filter(Boolean)
}

function rowsOf({ bench, subjects }, cells) {
  return subjects.map((subject, i) => [
    i === 0 ? bench.title : '',
    subjectTitles[subject.key],
    ...cells(subject),
    subject.ratio.toFixed(2),
    [subject.low, subject.high].map(each => each.toFixed(2)).join(' – '),
    subject.key === 'ours'
      ? `${bench.kind === 'memory' ? '≤' : '≥'} ${bench.target.toFixed(2)}`
      : '',
  ])
}

/** What was to be reached, and whether it was. */
export function verdicts(results) {
  return results.map(({ bench, subjects }) => {
    const { ratio } = subjects.find(({ key }) => key === 'ours')
    const less = bench.kind === 'memory'
    const reached = less ? ratio <= bench.target : ratio >= bench.target
    return `${reached ? 'reached' : 'MISSED '}  ${bench.title}: ${ratio.toFixed(2)} (${less ? 'at most' : 'at least'} ${bench.target.toFixed(2)})`
  })
}

export function markdown({ text }, results) {
  return `# Secured streams: what they cost

Written by \`npm run bench:streams\`. ${text}.

![Work per second of CPU time, against node:tls](streams.svg)

${tables(results)
  .map(rows => markdownTable(rows))
  .join('\n\n')}

${meaning}
`
}

const meaning = `## What the figures mean, and what they do not

Both ends of every connection live in one process and talk over loopback, and "per CPU second"
counts all CPU time of that process: client and server, the kernel's part and garbage collection.
That is the figure to compare. It says how much of a processor a connection or a megabyte costs. "Per
second" is wall-clock time, of one thread for both ends, on a machine that may have had other work to
do; it says nothing about the throughput between two hosts, where the network's latency and bandwidth
decide. Every figure is a median of rounds in which the subjects took turns. A ratio is taken within
each round; shown are the median of these ratios and between which two the middle half of them lies.
Where that range is wider than a difference, the difference is not shown to be real.

node:tls stands as people use it: \`tls.connect\` with the options each time, which makes a context
for every connection and resumes nothing. "One secureContext" is what a user gains who shares one;
"resuming by hand" also gives the last session back. secure-socket keeps one context for equal
settings and resumes by itself. Its advantage in connections is that it does unasked what node:tls
leaves to the user, not faster cryptography: the OpenSSL is the same, and against a user who does it
all by hand there is none. A full handshake is forced here by a new target name each time; the
server's certificate is known by then, and parsing it the first time costs another 0.1 to 0.2 ms.
Connections are made one after the other, each carries a byte both ways, and clients have no
certificate. A chain of several certificates, a large \`ca\` or another curve changes the ratios.

Heap is what V8's heap grows by for a pair of idle connections, a client's end and a server's, after
garbage collection. OpenSSL's own memory is not in it. Some of that is in RSS, which also holds what
the allocator keeps for later and is the least exact of the three. Plain node:net shows the floor; it
secures nothing.`

function number(value) {
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 100 ? 1 : 0 })
}

/** Without a minus sign before what rounds to nothing. */
function oneDecimal(value) {
  return (Math.round(value * 10) / 10 + 0).toFixed(1)
}
