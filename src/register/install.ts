/** Patches Node's own classes, once in each thread. */
import { secureServers } from './servers.js'
import { secureConnections } from './streams.js'

/** Of all copies of this library. */
const done = Symbol.for('secure-socket.registered')

export function install(): void {
  if (Reflect.has(globalThis, done)) return
  Object.defineProperty(globalThis, done, { value: true })
  secureConnections()
  secureServers()
}
