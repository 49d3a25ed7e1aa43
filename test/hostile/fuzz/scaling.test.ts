/**
 * Twice as much takes no more than about twice as long: the same piece again and again, as somebody would
 * send it who has found a loop in a loop. Full extent only, since it measures time; a quadratic parser takes
 * sixteen times as long for four times as much, and what is allowed is nearly that.
 */
import t from 'tap'
import { isAll } from '../extent.js'
import { parsers } from './parsers/index.js'

/** Bytes: of a datagram nearly the most, and more than names and packets can have; a policy can have more. */
const SIZES = [16 * 1024, 64 * 1024]
const ALLOWED = 12
/** What is over sooner than that cannot be told from a pause of the collector. */
const LEAST_MS = 20

t.test('time grows with the length', { skip: !isAll && 'full extent only' }, async t => {
  for (const parser of parsers) {
    const seeds = (await parser.seeds()).map(each => each.subarray(0, 200))
    const pieces = [
      ...(parser.words ?? []),
      ...seeds,
      ' ',
      'a',
      '\0',
      '"a",',
      'a=',
      ',',
      '\\',
      '1.',
    ]
    for (const piece of pieces.filter(each => each.length > 0)) {
      const [few = 0, many = 0] = SIZES.map(size => {
        const input = Buffer.alloc(size, piece as string)
        // The best of three: a busy machine makes it longer, never shorter.
        return Math.min(...[1, 2, 3].map(() => taken(() => parser.check(input))))
      })
      const told = `${parser.name}, ${JSON.stringify(String(piece).slice(0, 30))}`
      if (many > LEAST_MS && many > ALLOWED * few) t.fail(`${told}: ${few} ms, then ${many} ms`)
    }
    t.pass(parser.name)
  }
})

function taken(run: () => void): number {
  const begin = performance.now()
  try {
    run()
  } catch {
    // Whether it is right is for others to say.
  }
  return performance.now() - begin
}
