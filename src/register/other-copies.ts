/**
 * Does a class of its own give it that method? So sockets and servers of another copy of this library are
 * known. What stands in Object.prototype says nothing: where a program merges a stranger's JSON into its
 * objects, the stranger writes there.
 */
export function hasMethod(object: object, name: string): boolean {
  for (
    let at: object | null = object;
    at !== null && at !== Object.prototype;
    at = Object.getPrototypeOf(at)
  ) {
    if (!Object.hasOwn(at, name)) continue
    const found: unknown = Object.getOwnPropertyDescriptor(at, name)?.value
    if (found !== undefined) return typeof found === 'function'
  }
  return false
}
