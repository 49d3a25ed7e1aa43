/**
 * Each parser of ours against inputs that nobody has thought of: what stands in the corpus, and random
 * changes of it. The seed is printed; a failure shows its input, to become a test beside the parser's own.
 * `npm run fuzz` does the same for as long as one likes, guided by coverage.
 */
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { seededRandom } from '../../model/random.js'
import { isAll } from '../extent.js'
import { readCorpus } from './corpus.js'
import { fuzz } from './loop.js'
import { parsers } from './parsers/index.js'

const corpus = fileURLToPath(new URL('corpus', import.meta.url))
const inputsOfEach = isAll ? 200_000 : 1000

for (const parser of parsers) {
  t.test(parser.name, async t => {
    const inputs = [...(await parser.seeds()), ...readCorpus(corpus, parser)]
    const most = inputs.length + inputsOfEach / (parser.pace ?? 1)
    const { findings, runs } = fuzz({
      parser,
      random: seededRandom(t),
      inputs,
      goesOn: done => done < most,
    })
    for (const { input, error } of findings)
      t.fail(error.message, { input: input.toString(), hex: input.toString('hex'), error })
    t.ok(runs >= inputs.length, `${runs} inputs, ${inputs.length} of them from the corpus`)
  })
}
