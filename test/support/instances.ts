import { queryObjects } from 'node:v8'

/** How many objects of that class the collector still finds. */
export function instancesOf(made: abstract new (...args: never[]) => object): number {
  return queryObjects(made as never, { format: 'count' }) as unknown as number
}
