// The results as tables: rows of texts, the first of which is the head.

import { titleOf } from './benches.mjs'

/** @returns {{ title: string, rows: string[][], words?: number }[]} `words`: columns of words */
export function tables(results) {
  const ofKind = kind => results.filter(({ bench }) => bench.kind === kind)
  return [
    { title: 'What was to be reached', rows: targets(results) },
    ...directions('Bursts to one peer', ofKind('bursts'), ({ burst }) => `${burst}`),
    ...directions('One socket, many peers', ofKind('peers'), ({ size }) => `${size} bytes`),
    ...directions('Ping-pong', ofKind('ping-pong'), ({ size }) => `${size} bytes`),
    { title: 'Ping-pong: until the answer', rows: waits(ofKind('ping-pong')), words: 1 },
    { title: 'Flood', rows: floods(ofKind('flood')) },
    { title: 'Handshakes', rows: handshakes(ofKind('handshakes')) },
    { title: 'Memory of idle peers', rows: memory(ofKind('memory')) },
  ].filter(({ rows }) => rows.length > 1)
}

/** One table for each direction and whatever the columns do not tell apart. */
function directions(title, results, columnOf) {
  const groups = new Map()
  for (const result of results) {
    const { kind, size, peers } = result.bench
    const fixed = { bursts: `, ${size} bytes`, peers: `, ${peers} peers`, 'ping-pong': '' }[kind]
    const names = kind === 'ping-pong' ? ['round trip'] : ['send', 'receive']
    for (const direction of names) {
      const name = `${title}${fixed}: ${direction}`
      groups.set(name, { direction, results: [...(groups.get(name)?.results ?? []), result] })
    }
  }
  return [...groups].map(([name, group]) => ({
    title: name,
    rows: costs(group, columnOf),
    words: 1,
  }))
}

function costs({ direction, results }, columnOf) {
  const keys = keysOf(results)
  const head = 'µs of CPU (times cheaper than plain, connected)'
  return [
    [head, ...results.map(({ bench }) => columnOf(bench))],
    ...keys.map(key => [
      titleOf(key),
      ...results.map(({ subjects }) => cost(subjects.find(each => each.key === key)?.[direction])),
    ]),
  ]
}

function cost(figures) {
  if (!figures) return ''
  const ratio = figures.against['dgram-connected']
  return `${figures.cost.toFixed(figures.cost < 10 ? 2 : 1)}${ratio ? ` (${ratio.median.toFixed(2)})` : ''}`
}

function waits(results) {
  const keys = keysOf(results)
  return [
    ['µs of wall-clock time', ...results.map(({ bench }) => `${bench.size} bytes`)],
    ...keys.map(key => [
      titleOf(key),
      ...results.map(({ subjects }) => {
        const subject = subjects.find(each => each.key === key)
        return subject ? subject['round trip'].wall.toFixed(0) : ''
      }),
    ]),
  ]
}

function floods(results) {
  return sheet(
    results,
    [
      'flood',
      'subject',
      'sent per second',
      'received per second',
      'lost',
      'receiver late, ms',
      'at most',
      'sender late, ms',
      'at most',
    ],
    subject => [
      number(subject.sent),
      number(subject.received),
      `${(100 * subject.lost).toFixed(1)} %`,
      subject.receiverLate.toFixed(1),
      subject.receiverLatest.toFixed(1),
      subject.late.toFixed(1),
      subject.latest.toFixed(1),
    ],
  )
}

function handshakes(results) {
  return sheet(
    results,
    [
      'handshakes',
      'subject',
      'per server CPU second',
      'middle half',
      'against node:tls',
      'middle half',
      'client ms of CPU',
      'per second',
    ],
    ({ key, client, perSecond, tls, ...server }) => [
      // Its server is ours.
      ...(key === 'node-dtls-client' ? ['', ''] : [number(server.median), range(server, 0)]),
      ...(tls ? [tls.median.toFixed(2), range(tls, 2)] : ['', '']),
      client.toFixed(2),
      number(perSecond),
    ],
  )
}

const kibibytesOfGibibyte = 2 ** 20

function memory(results) {
  return sheet(
    results,
    [
      'associations',
      'subject',
      'KiB of RSS',
      'middle half',
      'of it V8 heap',
      'external',
      'per GiB',
    ],
    ({ heap, external, ...rss }) => [
      oneDecimal(rss.median),
      range(rss, 1),
      oneDecimal(heap),
      oneDecimal(external),
      number(Math.round(kibibytesOfGibibyte / rss.median)),
    ],
  )
}

function targets(results) {
  const head = ['what', 'of', 'wanted', 'measured', 'middle half', '']
  const rows = results.flatMap(({ bench, targets }) =>
    targets.map(({ key, what, against, least, target, measured }) => {
      const digits = { handshakes: 0, memory: 1 }[bench.kind] ?? 2
      const reached = least ? measured.median >= target : measured.median <= target
      return [
        `${bench.title}, ${what}${against ? ` ${titleOf(against)}` : ''}`,
        titleOf(key),
        `${least ? '≥' : '≤'} ${number(target)}`,
        measured.median.toFixed(digits),
        range(measured, digits),
        reached ? 'reached' : 'MISSED',
      ]
    }),
  )
  return [head, ...rows]
}

/** Of all the subjects, in the order in which they took their turns. */
function keysOf(results) {
  return [...new Set(results.flatMap(({ subjects }) => subjects.map(({ key }) => key)))]
}

function sheet(results, head, cells) {
  const rows = results.flatMap(({ bench, subjects }) =>
    subjects.map((subject, i) => [
      i === 0 ? bench.title : '',
      titleOf(subject.key),
      ...cells(subject),
    ]),
  )
  return [head, ...rows]
}

function range({ low, high }, digits) {
  return [low, high].map(each => each.toFixed(digits)).join(' – ')
}

function number(value) {
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 100 ? 2 : 0 })
}

/** Without a minus sign before what rounds to nothing. */
function oneDecimal(value) {
  return (Math.round(value * 10) / 10 + 0).toFixed(1)
}
