/** Patches Node's own classes, once in each thread. */
import { syncBuiltinESMExports } from 'node:module'
import { secureChildren } from './children.js'
import { secureDatagrams } from './datagrams.js'
import { absoluteOptions, isInherited, registeredEnvironment } from './environment.js'
import { guardMessages } from './messages.js'
import { secureServers } from './servers.js'
import { secureConnections } from './streams.js'
import { secureWorkers } from './workers.js'

/** Of all copies of this library. */
const done = Symbol.for('secure-socket.registered')

export function install(): void {
  if (Reflect.has(globalThis, done)) return
  Object.defineProperty(globalThis, done, { value: true })
  secureConnections()
  secureServers()
  secureDatagrams()
  secureChildren()
  secureWorkers(isInherited())
  guardMessages(process)
  absoluteOptions(process.execArgv)
  // What this process starts by other ways than Node's own finds them there.
  const { NODE_OPTIONS, SECURE_SOCKET_POLICY } = registeredEnvironment(process.env)
  Object.assign(process.env, {
    NODE_OPTIONS,
    ...(SECURE_SOCKET_POLICY && { SECURE_SOCKET_POLICY }),
  })
  // For those who import by name.
  syncBuiltinESMExports()
}
