import { setTimeout } from 'node:timers/promises'

/** Waits until a condition holds of which no event tells; fails at the deadline. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  milliseconds = 10_000,
): Promise<void> {
  const deadline = Date.now() + milliseconds
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${milliseconds} ms: ${what}`)
    await setTimeout(5)
  }
}
