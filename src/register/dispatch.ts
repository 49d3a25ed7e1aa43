/**
 * Leads the methods of a prototype of Node's to those of another one, for the objects that belong to it.
 * So whatever is between the two stays as it is: a user's subclass and its `super`, and a method that
 * somebody took from the prototype before.
 */
export function dispatch(
  node: object,
  ours: object,
  isOurs: (object: object) => boolean,
  except: readonly string[] = [],
): void {
  for (const key of Reflect.ownKeys(ours)) {
    const own: unknown = Object.getOwnPropertyDescriptor(ours, key)?.value
    if (typeof own !== 'function' || !(key in node)) continue
    if (key === 'constructor' || except.includes(key as string)) continue
    replace(node, key, theirs => {
      const method: Method = function (...args) {
        return (isOurs(this) ? (own as Method) : theirs).apply(this, args)
      }
      return method
    })
  }
}

// biome-ignore lint/suspicious/noExplicitAny: whatever Node's methods take and give
type Method = (this: any, ...args: any[]) => any

/** Puts another method in the place of one of Node's, which it is given. */
export function replace(
  holder: object,
  key: PropertyKey,
  replacement: (theirs: Method) => Method,
): void {
  const theirs = Reflect.get(holder, key) as Method
  Object.defineProperty(holder, key, {
    value: like(theirs, replacement(theirs)),
    writable: true,
    enumerable: Object.getOwnPropertyDescriptor(holder, key)?.enumerable ?? false,
    configurable: true,
  })
}

/** With the name and the length of what it stands for: programs look at both. */
function like<T extends object>(original: object, replacement: T): T {
  for (const key of ['name', 'length']) {
    const value = Reflect.get(original, key)
    Object.defineProperty(replacement, key, { value, configurable: true })
  }
  return replacement
}
