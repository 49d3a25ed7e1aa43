/** What `npm run fuzz` runs: one parser or all of them, for so many seconds, guided by coverage. */
import { seededBy } from '../../model/random.js'
import { addToCorpus, readCorpus } from './corpus.js'
import { Coverage } from './coverage.js'
import { fuzz } from './loop.js'
import { parsers } from './parsers/index.js'

/** @returns whether nothing was found */
export async function fuzzFor(
  name: string,
  seconds: number,
  { seed, folder, script }: { seed: number; folder: string; script: string },
): Promise<boolean> {
  const chosen = parsers.filter(each => name === 'all' || each.name === name)
  if (chosen.length === 0)
    throw new Error(`there is no parser ${name}: ${parsers.map(each => each.name).join(', ')}`)
  let found = 0
  for (const parser of chosen) {
    const end = performance.now() + (seconds * 1000) / chosen.length
    const coverage = new Coverage(url => url.includes(script))
    const inputs = [...(await parser.seeds()), ...readCorpus(folder, parser)]
    let kept = 0
    const { findings, runs } = fuzz({
      parser,
      random: seededBy(seed),
      inputs,
      coverage,
      goesOn: () => performance.now() < end,
      keep(input) {
        kept += 1
        if (parser.keeps !== false) addToCorpus(folder, parser, input)
      },
    })
    console.log(
      `${parser.name}: ${runs} inputs, ${coverage.size} blocks, ${kept} kept, seed ${seed}`,
    )
    coverage.close()
    for (const { input, error } of findings) {
      found += 1
      const shown = error.cause instanceof Error ? error.cause : error
      console.log(`  ${error.message}\n${shown.stack?.split('\n').slice(1, 6).join('\n')}`)
      console.log(
        `  input: ${JSON.stringify(input.toString())}\n  in hex: ${input.toString('hex')}`,
      )
    }
  }
  return found === 0
}
