/**
 * A class that can also be called as node:net's constructors can: `Socket(options)`, and
 * `Socket.call(this, options)` in old code that inherits by util.inherits.
 */
type AnyClass = abstract new (...args: never[]) => object

/**
 * @param target the class
 * @param initialise what its constructor does, on an object that exists already
 */
export function callable<T extends AnyClass>(
  target: T,
  initialise: (self: object, args: unknown[]) => void,
): T {
  const proxy: T = new Proxy(target, {
    // V8 gives every single object a hidden class of its own where a proxy is new.target: ten times
    // the time to make one, and six KiB for each connection.
    construct(_target, args: unknown[], newTarget): object {
      const own = newTarget === proxy ? target : newTarget
      return Reflect.construct(target as never, args, own as never)
    },
    apply(_target, self: unknown, args: unknown[]) {
      if (!(self instanceof (target as unknown as new () => object)))
        return Reflect.construct(target as never, args)
      initialise(self, args)
      return undefined
    },
  })
  // Printed objects show the name of the export; esbuild marks a class that names itself.
  Object.defineProperty(target, 'name', { value: target.name.replace(/^_|Class$/g, '') })
  Object.defineProperty(target.prototype, 'constructor', {
    value: proxy,
    writable: true,
    configurable: true,
  })
  return proxy
}
