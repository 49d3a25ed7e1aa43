// What a run says of itself: where it ran, and all of it as Markdown.

import { cpus, loadavg, release } from 'node:os'
import { markdownTable } from '../table.mjs'
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

const meaning = `## What the figures mean, and what they do not

Each end is a process of its own, and a figure is the CPU time of one of them: user's and kernel's,
with garbage collection. It says how much of a processor a datagram costs the one that sends it or
the one that receives it. "Per second" is wall-clock time for both processes at work, on a machine
that may have had other work too, over loopback: it is no forecast of what a network carries. Every
figure is a median of rounds in which the subjects took turns. A ratio is taken within each round;
shown are the median of these ratios and between which two the middle half of them lies. Where that
range is wider than a difference, the difference is not shown to be real.

Datagrams: 32 are sent in one turn of the event loop, at most 128 are on their way, and for every 64
the receiver says so on a plain socket, which adds 0.2 µs or so to each, in all subjects alike.
Without callbacks, to one peer. A connected socket is compared with a connected one. Loopback has its
own arithmetic: the kernel delivers a datagram within the call that sends it, so the sender pays for a
part of what a receiver would pay elsewhere, and plain node:dgram looks dearer to send than it is
through a network card. All of secure-socket here is the portable path: node:dgram's own socket, one
system call for each datagram.

The cipher is AES-128-GCM for all. node-dtls-client is a client that knows pre-shared keys only, so
its far end is secure-socket, and its cost in a handshake is to be seen at the client alone.
werift-dtls makes a server for each peer, on a port of its own, and leaves the check of the
certificate to its user; it gets a leaner transport here than the one it brings.

What is wanted against the best peer, three times cheaper, is less than plain node:dgram where that
peer costs no more than three times as much. No path with one system call for each datagram can get
there; it is the mark for one that sends many in one call.

Handshakes: a connection is a handshake, a byte there, a byte back and the end, eight at a time, each
from a new client socket. The figure is for each second of the server process's CPU time, and holds
all of that: cookie, handshake, the message, its answer, close_notify. Certificates are ECDSA P-256,
the leaf signed by the authority itself; longer chains and RSA cost more. Resumption is by ticket,
and what was resumed was checked.
The target is for a server that shows a certificate and asks for none; where both show one, as is
the default for datagrams, the server checks a certificate and a signature more. V8 needs a thousand
handshakes until it has compiled what they run through: a server that has just started makes about
two thirds of the figure. Such a rate depends on the processor and on what shares its caches, so
node:tls takes its turns beside it: TLS 1.2 over TCP with the same certificates, suite and bytes, one
context for all, resumed by hand. It is Node's own C++, has no cookie to check, and TCP does for it
what a datagram socket does itself.

Memory: RSS of the server process for each idle peer that has sent a message and got an answer, after
garbage collection, from the growth after the first hundred; for node-dtls-client that of the client.
It holds OpenSSL's memory, V8's and what the allocator keeps for later. With OpenSSL 3.5, from Node 22
on, an association needs more than with 3.0.`
