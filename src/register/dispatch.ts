/**
 * Leads the methods and accessors of a prototype of Node's to those of another one, for the objects
 * that belong to it. So whatever is between the two stays as it is: a user's subclass and its `super`,
 * and a method that somebody took from the prototype before.
 */
export function dispatch(
  node: object,
  ours: object,
  isOurs: (object: object) => boolean,
  except: readonly string[] = [],
): void {
  for (const key of Reflect.ownKeys(ours)) {
    if (key === 'constructor' || except.includes(key as string) || !(key in node)) continue
    const theirs = descriptorOf(node, key)
    const own = Object.getOwnPropertyDescriptor(ours, key) as PropertyDescriptor
    Object.defineProperty(node, key, {
      ...(typeof own.value === 'function'
        ? { value: methodOf(theirs.value, own.value, isOurs), writable: true }
        : accessorsOf(theirs, own, isOurs)),
      enumerable: theirs.enumerable ?? false,
      configurable: true,
    })
  }
}

type Method = (this: object, ...args: unknown[]) => unknown

function methodOf(theirs: Method, ours: Method, isOurs: (object: object) => boolean): Method {
  const method: Method = function (...args) {
    return (isOurs(this) ? ours : theirs).apply(this, args)
  }
  return like(theirs, method)
}

function accessorsOf(
  theirs: PropertyDescriptor,
  ours: PropertyDescriptor,
  isOurs: (object: object) => boolean,
): PropertyDescriptor {
  const accessors: PropertyDescriptor = {
    get(this: object) {
      return (isOurs(this) ? ours.get : theirs.get)?.call(this)
    },
  }
  if (theirs.set === undefined && ours.set === undefined) return accessors
  accessors.set = function (this: object, value: unknown) {
    const set = isOurs(this) ? ours.set : theirs.set
    set?.call(this, value)
  }
  return accessors
}

/** With the name and the length of what it stands for: programs look at both. */
export function like<T extends object>(original: object, replacement: T): T {
  for (const key of ['name', 'length']) {
    const value = Reflect.get(original, key)
    Object.defineProperty(replacement, key, { value, configurable: true })
  }
  return replacement
}

function descriptorOf(object: object, key: PropertyKey): PropertyDescriptor {
  let holder: object | null = object
  while (holder !== null) {
    const found = Object.getOwnPropertyDescriptor(holder, key)
    if (found) return found
    holder = Object.getPrototypeOf(holder)
  }
  return {}
}
