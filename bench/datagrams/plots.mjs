// The results as pictures.

import { chart } from '../chart.mjs'
import { lines } from '../lines.mjs'
import { burstSizes, sizes } from './benches.mjs'

/** Short enough to stand in a picture, in the order in which they are drawn. */
const series = [
  { key: 'limit', label: 'C, OpenSSL and GSO', style: 'limit' },
  { key: 'dgram-connected', label: 'node:dgram, connected = 1', style: 'plain' },
  { key: 'dgram', label: 'node:dgram', style: 'plain-too' },
  { key: 'werift-dtls', label: 'werift-dtls', style: 'third' },
  { key: 'node-dtls-client', label: 'node-dtls-client', style: 'fourth' },
  { key: 'ours-portable-connected', label: 'secure-socket, portable', style: 'ours-too' },
  { key: 'ours-batch-connected', label: 'secure-socket, batch', style: 'ours' },
]

const barLabels = {
  'ours-batch': 'secure-socket, batch',
  'ours-batch-connected': 'the same, connected',
  'ours-portable': 'secure-socket, portable',
  'ours-portable-connected': 'the same, connected',
  'dgram-connected': 'node:dgram, connected',
  'dgram-each': 'a connected socket for each',
  dgram: 'node:dgram',
  limit: 'C and OpenSSL: the limit',
  'werift-dtls': 'werift-dtls',
  'node-dtls-client': 'node-dtls-client',
}

/** @returns {{ name: string, alt: string, svg: string }[]} of what was measured */
export function plots(results) {
  const ofKind = kind => results.filter(({ bench }) => bench.kind === kind)
  return [
    {
      name: 'datagrams',
      alt: 'Datagrams in a second of CPU time, by the size of a burst, against node:dgram',
      found: ofKind('bursts'),
      draw: bursts,
    },
    {
      name: 'datagrams-peers',
      alt: 'The same for one socket with 64 and 1024 peers',
      found: ofKind('peers'),
      draw: peers,
    },
    {
      name: 'datagrams-ping-pong',
      alt: 'The same for a message and its answer',
      found: ofKind('ping-pong'),
      draw: pingPong,
    },
  ]
    .filter(({ found }) => found.length > 0)
    .map(({ name, alt, found, draw }) => ({ name, alt, svg: draw(found) }))
}

function bursts(results) {
  const steps = burstSizes.filter(step => results.some(({ bench }) => bench.burst === step))
  const panel = (size, direction) => {
    const at = step => results.find(({ bench }) => bench.size === size && bench.burst === step)
    return {
      title: `${direction}, ${size} bytes`,
      values: Object.fromEntries(
        series.map(({ key }) => [key, steps.map(step => ratioOf(at(step), key, direction))]),
      ),
      targets: results
        .filter(({ bench }) => bench.size === size)
        .flatMap(({ bench, targets }) =>
          targets.filter(isShown(direction)).map(({ target }) => ({
            step: bench.burst,
            value: target,
          })),
        ),
    }
  }
  const measured = sizes.filter(size => results.some(({ bench }) => bench.size === size))
  return lines({
    title: 'Datagrams in a second of CPU time, node:dgram connected = 1',
    subtitle:
      'Higher is better. Loopback, one peer; sent so many in one turn of the event loop. Orange: our targets.',
    xTitle: 'datagrams in a burst',
    steps,
    range: [1 / 8, 16],
    series,
    rows: ['send', 'receive'].map(direction => measured.map(size => panel(size, direction))),
  })
}

const isShown =
  direction =>
  ({ key, against, what }) =>
    key === 'ours-batch-connected' && against === 'dgram-connected' && what.startsWith(direction)

function ratioOf(result, key, direction) {
  const figures = result?.subjects.find(subject => subject.key === key)?.[direction]
  return figures?.against['dgram-connected']?.median
}

function peers(results) {
  return bars(results, {
    title: 'One socket, many peers: datagrams in a second of CPU time',
    subtitle:
      'Sent and received, one after the other to each. node:dgram with one socket for all of them = 1.',
    direction: 'total',
    against: 'dgram',
    order: ['ours-batch', 'ours-portable', 'limit', 'dgram', 'dgram-each', 'dgram-connected'],
    labels: { ...barLabels, 'dgram-connected': 'to one peer, connected' },
  })
}

function pingPong(results) {
  return bars(results, {
    title: 'A message and its answer: round trips in a second of CPU time of one end',
    subtitle:
      'secure-socket over its batch and its portable channel, and others. node:dgram, connected = 1.',
    direction: 'round trip',
    against: 'dgram-connected',
    order: [
      'ours-batch-connected',
      'ours-batch',
      'ours-portable-connected',
      'ours-portable',
      'limit',
      'dgram-connected',
      'dgram',
      'werift-dtls',
      'node-dtls-client',
    ],
    labels: {
      ...barLabels,
      'ours-batch-connected': 'batch, connected',
      'ours-batch': 'batch',
      'ours-portable-connected': 'portable, connected',
      'ours-portable': 'portable',
    },
  })
}

function bars(results, { title, subtitle, direction, against, order, labels }) {
  return chart({
    title,
    subtitle,
    groups: results.map(({ bench, subjects, targets }) => ({
      title: bench.title,
      note: 'longer is better',
      target: targets.find(target => target.against === against && target.key === order[0])?.target,
      bars: order
        .map(key => ({ key, figures: subjects.find(subject => subject.key === key)?.[direction] }))
        .filter(({ figures }) => figures?.against[against])
        .map(({ key, figures }) => ({
          label: labels[key],
          value: figures.against[against].median,
          strong: key === order[0],
        })),
    })),
  })
}
