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
        rowsOf(result, ({ heap, external, rss }) =>
          [heap, external, rss].map(each => each.toFixed(1)),
        ),
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
    subject.quartiles.map(each => each.toFixed(2)).join(' – '),
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

${tables(results).map(markdownTable).join('\n\n')}

${meaning}
`
}

const meaning = `## What the figures mean, and what they do not

Both ends of every connection live in one process and talk over loopback, and "per CPU second"
counts all CPU time of that process, client and server together, kernel and garbage collection
included. That is the figure to compare: it says how much of a processor a connection or a megabyte
costs. "Per second" is wall-clock time on a machine that had other work to do, with one thread for
both ends; it is no statement about throughput between two hosts, where the network's latency and
bandwidth decide. Each figure is a median of rounds in which the subjects took turns. A ratio is taken
within each round; its median is shown, and between which values the middle half of them lies. Where
that range is wider than a difference, the difference is not shown to be real.

node:tls stands as people use it: \`tls.connect\` with the options each time, which makes a context for
every connection and never resumes. "One secureContext" is what a user who knows of it saves;
"resuming by hand" also gives the last session back. secure-socket keeps one context for equal settings
and resumes by itself, so its advantage in connections is that of doing unasked what node:tls leaves
to the user, not of faster cryptography: both use the same OpenSSL. A full connection of secure-socket
is forced here by a new target name each time. Connections are made one after the other, each carries
a byte both ways, and no client has a certificate.

Heap is the growth of V8's heap for each pair of idle connections (a client's and a server's end),
after garbage collection. OpenSSL's own memory is not in it; some of it is in RSS, which also holds
what the allocator keeps for later, and is the least exact of the three. A server alone needs about
half. Plain node:net is there to show the floor; it secures nothing.`

function number(value) {
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 100 ? 1 : 0 })
}
