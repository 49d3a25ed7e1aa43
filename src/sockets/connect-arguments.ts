/** The overloads of connect(): (options[, callback]), (port[, host][, callback]), (path[, callback]). */
import type { NetConnectOpts } from 'node:net'
import { isOfEveryObject } from './own-options.js'

export type ConnectArguments = [
  options: NetConnectOpts & Record<string, unknown>,
  callback: (() => void) | null,
]

/** One shape for all overloads, also for the array that node:net itself has normalised already. */
export function connectArguments(args: unknown[]): ConnectArguments {
  const [first] = args
  if (Array.isArray(first) && isNormalised(first)) return first as unknown as ConnectArguments
  const last = args.at(-1)
  const callback = typeof last === 'function' ? (last as () => void) : null
  if (args.length === 0) return [{} as ConnectArguments[0], null]
  if (typeof first === 'object' && first !== null) return [first as ConnectArguments[0], callback]
  if (isPipeName(first)) return [{ path: first } as ConnectArguments[0], callback]
  const host = typeof args[1] === 'string' ? { host: args[1] } : {}
  return [{ port: first, ...host } as ConnectArguments[0], callback]
}

/**
 * The options, read once, whatever getters or proxies they are made of: what was checked is what
 * Node gets. Its own options are asked for by name, since they may stand on a prototype.
 */
export function readOnce(options: object): ConnectArguments[0] {
  const names = new Set<string>(nodeOptions)
  for (const name in options) names.add(name)
  const read: Record<string, unknown> = {}
  for (const name of names) {
    if (!(name in options)) continue
    const value = (options as Record<string, unknown>)[name]
    if (!isOfEveryObject(options, name, value)) read[name] = value
  }
  return read as ConnectArguments[0]
}

/** What connect() reads: ours, node:net's and node:dns's. */
const nodeOptions = [
  ...['security', 'peerTargetName'],
  ...['port', 'host', 'path', 'localAddress', 'localPort', 'family', 'hints', 'lookup'],
  ...['autoSelectFamily', 'autoSelectFamilyAttemptTimeout', 'blockList'],
]

/** Node marks the array with a symbol of its own. */
function isNormalised(array: unknown[]): boolean {
  return Object.getOwnPropertySymbols(array).some(symbol => symbol.description === 'normalizedArgs')
}

/** A string that is no number is a path, as in node:net. */
function isPipeName(value: unknown): value is string {
  return typeof value === 'string' && !(Number(value) >= 0)
}
