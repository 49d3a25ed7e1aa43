import { median, quantile } from '../statistics.mjs'
import { atMostPlain, belowPeer, peers, plainOf } from './benches.mjs'

/**
 * The medians of a bench's rounds, as one result or, for datagrams, one for each direction. Ratios
 * are taken round by round, between neighbours in time, and their median is the figure: what slows
 * the machine down for a while cancels out.
 */
export function summarise(bench, samples) {
  if (bench.kind !== 'datagrams') return [{ bench, title: bench.title, ...plain(bench, samples) }]
  return ['send', 'receive'].map(direction => ({
    bench,
    title: `${direction}, ${bench.title}`,
    ...compared(samples, direction),
  }))
}

function plain({ kind, target }, samples) {
  const figures = kind === 'handshakes' ? rates : sizes
  const tls = Object.keys(samples).find(key => key.startsWith('tls'))
  const reference = tls && figures(samples[tls])[0]
  const subjects = Object.entries(samples).map(([key, rounds]) => {
    const [measure, rest] = figures(rounds)
    const ratio = reference && { tls: spread(ratios(measure, reference)) }
    return { key, ...spread(measure), ...rest, ...ratio }
  })
  const ours = subjects.find(({ key }) => key.startsWith('ours'))
  if (target === undefined || ours === undefined) return { subjects, targets: [] }
  return {
    subjects,
    targets: [{ what: '', least: kind === 'handshakes', target, measured: ours }],
  }
}

/** Handshakes in a second of the server's CPU time, and what one costs the client in milliseconds. */
function rates(rounds) {
  return [
    rounds.map(({ units, server }) => units / server),
    {
      client: median(rounds.map(({ units, client }) => (client / units) * 1e3)),
      perSecond: median(rounds.map(({ units, wall }) => units / wall)),
    },
  ]
}

/** KiB. */
function sizes(rounds) {
  const of = field => rounds.map(each => each[field] / 1024)
  return [of('rss'), { heap: median(of('heap')), external: median(of('external')) }]
}

function compared(samples, direction) {
  const costs = Object.fromEntries(
    Object.entries(samples).map(([key, rounds]) => [
      key,
      rounds.map(round => (round[direction].cpu / round.units) * 1e6),
    ]),
  )
  const subjects = Object.entries(samples).map(([key, rounds]) => ({
    key,
    cost: median(costs[key]),
    perSecond: median(rounds.map(round => round.units / round[direction].wall)),
    ...(costs[plainOf(key)] && { plain: spread(ratios(costs[key], costs[plainOf(key)])) }),
  }))
  const ours = subjects.filter(({ key }) => key.startsWith('ours'))
  const best = subjects.filter(({ key }) => peers.includes(key)).sort((a, b) => a.cost - b.cost)[0]
  const targets = ours.flatMap(({ key, plain }) => [
    plain && { what: plainOf(key), least: false, target: atMostPlain, measured: plain, key },
    // They send without connect(), too.
    best &&
      plainOf(key) === 'dgram' && {
        what: best.key,
        least: true,
        target: belowPeer,
        measured: spread(ratios(costs[best.key], costs[key])),
        key,
      },
  ])
  return { subjects, targets: targets.filter(Boolean) }
}

function ratios(values, others) {
  return values.map((value, i) => value / others[i])
}

/** The median, and between which two the middle half lies. */
function spread(values) {
  return { median: median(values), low: quantile(values, 0.25), high: quantile(values, 0.75) }
}
