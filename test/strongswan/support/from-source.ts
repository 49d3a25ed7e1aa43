/** Lets an example's 'secure-socket' be the sources, where nothing was built: for `node --import`. */
import { register } from 'node:module'

const sources = new URL('../../../src/', import.meta.url).href
register(
  `data:text/javascript,${encodeURIComponent(`
export function resolve(specifier, context, next) {
  const part = /^secure-socket(?:\\/(\\w+))?$/.exec(specifier)
  return next(part ? '${sources}' + (part[1] ?? 'index') + '.js' : specifier, context)
}`)}`,
)
