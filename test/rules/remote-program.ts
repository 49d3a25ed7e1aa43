/**
 * What remote.ts starts on another host: the servers of the rules, and peers in clear, each an object
 * that is called by messages. What a test reads without waiting is told whenever it has changed.
 */
import { SocketSecurityError } from '../../src/model/errors.js'
import type { Policy } from '../../src/model/policy/policy.js'
import { setPolicy } from '../../src/policy/current-policy.js'
import { datagrams } from './datagrams.js'
import * as rawTcp from './raw-tcp.js'
import * as rawUdp from './raw-udp.js'
import type { Answer, Call, State } from './remote.js'
import { streams } from './streams.js'
import type { ServerOptions } from './subject.js'

type Callable = Record<string, unknown>

const objects = new Map<number, Callable>()
const told = new Map<number, State>()
const teardowns = new Map<number, (() => unknown)[]>()
/** By server. */
const accepted = new Map<number, number[]>()

const factories: Record<string, (t: never, argument: never) => unknown> = {
  'stream server': (t, options: ServerOptions) => streams.server(t, options),
  'datagram server': (t, options: ServerOptions) =>
    datagrams((socket, peer) => socket.secure(peer)).server(t, options),
  'stream peer': rawTcp.clearPeer,
  'datagram peer': rawUdp.clearPeer,
}

process.on('message', ({ id, object, method, args }: Call) => {
  run(object, method, args).then(
    result => answer({ id, result }),
    error => answer({ id, error: { ...error, cause: undefined, message: error.message } }),
  )
})
process.on('disconnect', () => process.exit())
// What its sockets complain of is the test's affair, and reaches it where it waits for it.
process.on('uncaughtException', error => console.error('uncaught at the other host:', error))
setInterval(tell, 10)

async function run(object: number, method: string, args: readonly unknown[]): Promise<unknown> {
  if (method === 'policy') return policy(args[0] as Policy | { broken: string } | null)
  if (method === 'create') return create(object, args)
  if (method === 'release') return release(object)
  const target = objects.get(object)
  if (!target) throw new Error(`there is no object ${object}`)
  const member = target[method]
  const result = await (typeof member === 'function' ? member.apply(target, args) : member)
  // The peer of a server is an object too.
  if (method !== 'accepted') return result
  const number = args[0] as number
  objects.set(number, result as Callable)
  accepted.set(object, [...(accepted.get(object) ?? []), number])
  return undefined
}

function policy(given: Policy | { broken: string } | null): void {
  const isBroken = given !== null && 'broken' in given
  setPolicy(isBroken ? new SocketSecurityError('ERR_POLICY_INVALID', given.broken) : given)
}

async function create(object: number, [kind, argument]: readonly unknown[]): Promise<void> {
  const ends: (() => unknown)[] = []
  teardowns.set(object, ends)
  const t = { teardown: (end: () => unknown) => ends.push(end) }
  const made = await factories[kind as string]?.(t as never, argument as never)
  objects.set(object, made as Callable)
}

async function release(object: number): Promise<void> {
  for (const end of (teardowns.get(object) ?? []).reverse()) await end()
  tell()
  // Or it would be looked at for ever, with all that it has heard.
  for (const each of [object, ...(accepted.get(object) ?? [])]) {
    objects.delete(each)
    told.delete(each)
  }
  accepted.delete(object)
  teardowns.delete(object)
}

function answer(message: Answer): void {
  tell()
  process.send?.(message)
}

function tell(): void {
  for (const [object, { heard, insecure, listening, contacts, received, port }] of objects) {
    const state = { heard, insecure, listening, contacts, received, port } as State
    if (isSame(state, told.get(object))) continue
    told.set(object, state)
    process.send?.({ object, state })
  }
}

function isSame(now: State, before: State = {}): boolean {
  // What was received only grows.
  const { received: bytes, ...others } = before
  return (
    now.received?.length === bytes?.length &&
    (Object.keys(now) as (keyof typeof others)[]).every(
      key => (key as string) === 'received' || now[key] === others[key],
    )
  )
}
