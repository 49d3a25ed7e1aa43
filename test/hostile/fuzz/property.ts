/** Properties of structured values, by fast-check: a failure is made smaller before it is shown. */
import fc, { type Arbitrary } from 'fast-check'
import type { Test } from 'tap'
import { isAll } from '../extent.js'

/** Holds for so many values, and for a hundred times as many in the full extent. TEST_SEED repeats a failure. */
export async function holds<T>(
  t: Test,
  arbitrary: Arbitrary<T>,
  runs: number,
  property: (value: T) => void | Promise<void>,
): Promise<void> {
  const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31))
  t.comment(`TEST_SEED=${seed}`)
  const checked = await fc.check(
    fc.asyncProperty(arbitrary, async value => {
      await property(value)
    }),
    { seed, numRuns: isAll ? runs * 100 : runs, endOnFailure: !isAll },
  )
  if (checked.failed)
    t.fail((checked.errorInstance as Error | undefined)?.message ?? 'failed', {
      counterexample: shown(checked.counterexample?.[0]),
      stack: (checked.errorInstance as Error | undefined)?.stack,
    })
  else t.pass(`${checked.numRuns} values`)
}

/** A value can be one that throws when it is looked at. */
function shown(value: unknown): string {
  try {
    return fc.stringify(value).slice(0, 2000)
  } catch {
    return 'it cannot be shown'
  }
}
