import { median, quantile } from '../statistics.mjs'

/**
 * What the rounds of a bench come to. Ratios are taken round by round, between neighbours in time,
 * and their median is the figure: what slows the machine down for a while cancels out.
 */
export function summarise(bench, samples) {
  switch (bench.kind) {
    case 'bursts':
    case 'peers':
    case 'ping-pong':
      return costs(bench, samples)
    case 'flood':
      return { bench, subjects: each(samples, floods), targets: [] }
    default:
      return marks(bench, samples)
  }
}

/** What the others' cost is divided by ours for. */
const plain = ['dgram-connected', 'dgram', 'dgram-each']

/** CPU time of a datagram in each direction, in microseconds. */
function costs(bench, samples) {
  const directions = bench.kind === 'ping-pong' ? ['round trip'] : ['send', 'receive']
  const all = [...directions, ...(directions.length > 1 ? ['total'] : [])]
  const costOf = (sample, direction) =>
    direction === 'total'
      ? directions.reduce((sum, each) => sum + costOf(sample, each), 0)
      : (sample[direction].cpu / sample.units) * 1e6
  /** How many times cheaper `key` is than `other`. */
  const cheaper = (key, other, direction) =>
    samples[key] &&
    samples[other] &&
    spread(
      samples[key].map(
        (sample, i) => costOf(samples[other][i], direction) / costOf(sample, direction),
      ),
    )

  const subjects = each(samples, (rounds, key) => {
    const figures = all.map(direction => [
      direction,
      {
        cost: median(rounds.map(sample => costOf(sample, direction))),
        ...(directions.includes(direction) && {
          wall: median(rounds.map(sample => (sample[direction].wall / sample.units) * 1e6)),
        }),
        against: Object.fromEntries(plain.map(other => [other, cheaper(key, other, direction)])),
      },
    ])
    const sum = field => rounds.reduce((total, sample) => total + (sample[field] ?? 0), 0)
    return { key, ...Object.fromEntries(figures), lost: sum('lost'), units: sum('units') }
  })
  const targets = bench.targets
    .map(({ direction, of, against, least }) => ({
      key: of,
      what: `${direction}: times cheaper than`,
      against,
      least: true,
      target: least,
      measured: cheaper(of, against, direction),
    }))
    .filter(({ measured }) => measured)
  return { bench, subjects, targets }
}

function floods(rounds) {
  const of = figure => median(rounds.map(figure))
  return {
    sent: of(({ sent, send }) => sent / send.wall),
    received: of(({ received, send }) => received / send.wall),
    lost: of(({ sent, received }) => 1 - received / sent),
    late: of(({ late }) => late.median),
    latest: of(({ late }) => late.most),
    receiverLate: of(({ receiverLate }) => receiverLate.median),
    receiverLatest: of(({ receiverLate }) => receiverLate.most),
  }
}

/** Of handshakes and memory: one figure, and a mark for it. */
function marks(bench, samples) {
  const { kind, target } = bench
  const figures = kind === 'handshakes' ? rates : bytes
  const tls = Object.keys(samples).find(key => key.startsWith('tls'))
  const reference = tls && figures(samples[tls])[0]
  const subjects = each(samples, rounds => {
    const [measure, rest] = figures(rounds)
    const ratio = reference && { tls: spread(measure.map((value, i) => value / reference[i])) }
    return { ...spread(measure), ...rest, ...ratio }
  })
  const ours = subjects.find(({ key }) => key.startsWith('ours'))
  if (target === undefined || ours === undefined) return { bench, subjects, targets: [] }
  const least = kind === 'handshakes'
  const what = least ? 'per second of server CPU' : 'KiB of RSS'
  return { bench, subjects, targets: [{ key: ours.key, what, least, target, measured: ours }] }
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
function bytes(rounds) {
  const of = field => rounds.map(round => round[field] / 1024)
  return [of('rss'), { heap: median(of('heap')), external: median(of('external')) }]
}

function each(samples, figures) {
  return Object.entries(samples).map(([key, rounds]) => ({ key, ...figures(rounds, key) }))
}

/** The median, and between which two the middle half lies. */
function spread(values) {
  return { median: median(values), low: quantile(values, 0.25), high: quantile(values, 0.75) }
}
