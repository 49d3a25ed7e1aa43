import { median, quantile } from '../statistics.mjs'

const reference = 'tls'

/**
 * Medians of a bench's rounds. Ratios are taken round by round, between neighbours in time, and
 * their median is the figure: what slows the machine down for a while cancels out.
 */
export function summarise(bench, samples) {
  const measure = bench.kind === 'memory' ? 'heap' : 'perCpu'
  const figures = Object.entries(samples).map(([key, rounds]) => [
    key,
    rounds.map(sample => figuresOf(bench, sample)),
  ])
  const against = Object.fromEntries(figures)[reference].map(round => round[measure])
  const subjects = figures.map(([key, rounds]) => {
    const ratios = rounds.map((round, i) => round[measure] / against[i])
    return {
      key,
      ...medians(rounds),
      ratio: median(ratios),
      low: quantile(ratios, 0.25),
      high: quantile(ratios, 0.75),
    }
  })
  return { subjects }
}

function figuresOf({ kind, scale }, sample) {
  if (kind !== 'memory') {
    const amount = sample.units * scale
    return { perCpu: amount / sample.cpu, perSecond: amount / sample.wall }
  }
  const { heap, external, rss } = sample
  return { heap: heap / 1024, external: external / 1024, rss: rss / 1024 }
}

function medians(rounds) {
  const names = Object.keys(rounds[0])
  return Object.fromEntries(names.map(name => [name, median(rounds.map(round => round[name]))]))
}
