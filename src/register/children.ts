/**
 * What a program starts is secured as the program is: the variables go along, whatever environment it
 * gives its children. Children that are not Node's just have them.
 */
import childProcess from 'node:child_process'
import { replace } from './dispatch.js'
import { inheritedEnvironment } from './environment.js'
import { guardMessages } from './messages.js'

export function secureChildren(): void {
  // Whatever starts a child ends here: spawn, exec, execFile, fork, and the cluster's.
  replace(childProcess.ChildProcess.prototype, 'spawn', spawn => {
    return function (options, ...rest) {
      const result = spawn.call(this, withPairs(options), ...rest)
      guardMessages(this)
      return result
    }
  })
  for (const name of ['spawnSync', 'execFileSync', 'execSync'] as const)
    replace(childProcess, name, start => {
      return function (...args) {
        return start.apply(this, withEnvironment(args))
      }
    })
}

interface SpawnOptions {
  /** `NAME=value`, as Node hands it to the system. */
  readonly envPairs?: readonly string[]
}

function withPairs(options: SpawnOptions): SpawnOptions {
  const { envPairs } = Object(options) as SpawnOptions
  // Node says it best what is wrong with other options; without pairs a child has our own environment.
  if (!Array.isArray(envPairs))
    return typeof options === 'object' && envPairs === undefined
      ? { ...options, envPairs: pairsOf(inheritedEnvironment(process.env)) }
      : options
  const env = Object.fromEntries(envPairs.map(splitPair))
  return { ...options, envPairs: pairsOf(inheritedEnvironment(env)) }
}

/** Windows has names that begin with `=`. */
function splitPair(pair: string): [name: string, value: string] {
  const at = pair.indexOf('=', 1)
  return at === -1 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)]
}

function pairsOf(env: Record<string, string | undefined>): string[] {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`)
}

/** (file[, args][, options]) and (command[, options]). */
function withEnvironment(args: unknown[]): unknown[] {
  const at = args.findIndex((each, index) => index > 0 && isOptions(each))
  const options = at === -1 ? {} : (args[at] as { env?: Record<string, string> })
  const env = inheritedEnvironment(options.env ?? process.env)
  if (at !== -1) return args.with(at, { ...options, env })
  // An argument that is absent, or null, stands before the options.
  const given = args.filter((each, index) => index === 0 || Array.isArray(each))
  return [...given, { env }]
}

function isOptions(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
