/**
 * What was given for one option. It may stand on a prototype or come from a proxy, as with Node's own
 * options, but not on Object.prototype: there a stranger's JSON can get, which a program merges into its
 * objects, and it would say for every socket whom to trust.
 */
export function givenOption<T>(options: unknown, name: string): T | undefined {
  const value = Object(options)[name] as T | undefined
  return isOfEveryObject(options, name, value) ? undefined : value
}

/** @param value what reading it has given: it is read once */
export function isOfEveryObject(options: unknown, name: string, value: unknown): boolean {
  if (!Object.hasOwn(Object.prototype, name)) return false
  if (Object.hasOwn(Object(options), name)) return false
  return value === (Object.prototype as Record<string, unknown>)[name]
}
