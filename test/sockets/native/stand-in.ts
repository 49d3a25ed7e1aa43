/**
 * A native provider for tests on Linux: sockets of its own making, with a harmless option (the type
 * of service) in the place of IPsec, because it is lost just as silently when Node replaces the handle.
 */
import type { Test } from 'tap'
import * as linux from '../../../lib/linux-sockets.js'
import type { SecurityInfo } from '../../../src/model/security-info.js'
import type {
  NativeDescriptor,
  NativeListenRequest,
  NativeProvider,
  NativeRequest,
} from '../../../src/providers/provider.js'
import { setIpsecProvider } from '../../../src/providers/select.js'
import { until } from '../../support/until.js'

export const typeOfService = 0x28

export const info: SecurityInfo = {
  secured: true,
  encrypted: true,
  protocol: 'ipsec',
  resumed: false,
}

/** What the tests change; each may fail, or never settle. */
export interface Behaviour {
  /** Before a socket is made. */
  prepare(request: NativeRequest | NativeListenRequest): Promise<void> | void
  /** What the system says of a connection. */
  query(address: string): Promise<SecurityInfo>
  impersonate?: <T>(fn: () => T) => T
}

export interface StandIn extends NativeProvider {
  readonly requests: NativeRequest[]
  readonly listeners: NativeListenRequest[]
  /** How often it was asked what secures a connection. */
  readonly queries: string[]
  /** How many sockets were made. */
  readonly made: number
  /** Sockets that were made, and neither discarded nor taken by a handle. */
  readonly open: Set<number>
  /** Discarded, or given to a handle, more than once. */
  readonly mistakes: string[]
  /** The accepted connections that were asked for. */
  readonly accepts: unknown[]
}

export function standIn(behaviour: Partial<Behaviour> = {}): StandIn {
  const requests: NativeRequest[] = []
  const listeners: NativeListenRequest[] = []
  const queries: string[] = []
  const open = new Set<number>()
  const mistakes: string[] = []
  const accepts: unknown[] = []
  let made = 0

  function connection(address: string, alive: () => boolean) {
    return {
      query: async () => {
        if (!alive()) mistakes.push(`${address} was queried on a handle that is gone`)
        queries.push(address)
        return (await behaviour.query?.(address)) ?? info
      },
      ...(behaviour.impersonate ? { impersonate: behaviour.impersonate } : {}),
    }
  }

  function make(family: 4 | 6, isAlive: { alive: () => boolean }): NativeDescriptor {
    const descriptor = newSocket(family)
    open.add(descriptor)
    made += 1
    return {
      descriptor,
      discard() {
        if (!open.delete(descriptor)) mistakes.push(`${descriptor} was discarded twice`)
        linux.close(descriptor)
      },
      adopted(alive) {
        if (!open.delete(descriptor)) mistakes.push(`${descriptor} was adopted twice`)
        isAlive.alive = alive
      },
    }
  }

  return {
    mode: 'native',
    requests,
    listeners,
    queries,
    get made() {
      return made
    },
    open,
    mistakes,
    accepts,
    async openSocket(request) {
      requests.push(request)
      await behaviour.prepare?.(request)
      const state = { alive: () => false }
      return {
        ...make(request.family, state),
        ...connection(request.address, () => state.alive()),
      }
    },
    async openListener(request) {
      listeners.push(request)
      await behaviour.prepare?.(request)
      return make(request.family, { alive: () => false })
    },
    accepted(socket) {
      accepts.push(socket)
      return connection(String(socket.remoteAddress), () => !socket.destroyed)
    },
  }
}

function newSocket(family: 4 | 6): number {
  const [domain, level, option] =
    family === 4
      ? [linux.AF_INET, linux.IPPROTO_IP, linux.IP_TOS]
      : [linux.AF_INET6, linux.IPPROTO_IPV6, linux.IPV6_TCLASS]
  const type = linux.SOCK_STREAM | linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC
  const descriptor = linux.socket(domain, type, 0)
  if (descriptor < 0 || linux.setsockopt(descriptor, level, option, typeOfService) !== 0) {
    throw new Error(`no socket (${descriptor})`)
  }
  return descriptor
}

/** A `lookup` that finds these addresses, whatever it is asked for. */
export function lookupOf(...addresses: string[]) {
  const found = addresses.map(address => ({ address, family: address.includes(':') ? 6 : 4 }))
  return ((_host: string, options: { all?: boolean }, callback: (...args: unknown[]) => void) => {
    if (options.all) setImmediate(callback, null, found)
    else setImmediate(callback, null, found[0]?.address, found[0]?.family)
  }) as never
}

/** A promise, and what settles it. */
export function pending<T = void>() {
  let settle!: { resolve(value: T): void; reject(error: Error): void }
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject }
  })
  return { promise, ...settle }
}

/** The type of service of the socket under a handle; 0 where it is no socket of ours. */
export function typeOfServiceOf(socket: object): number {
  const { _handle } = socket as { _handle: { fd: number } }
  return linux.getsockopt(_handle.fd, linux.IPPROTO_IP, linux.IP_TOS)
}

/** The stand-in is the provider; at the end everything it has made is gone, once. */
export function provide(t: Test, behaviour: Partial<Behaviour> = {}) {
  const provider = standIn(behaviour)
  setIpsecProvider(provider)
  t.teardown(async () => {
    setIpsecProvider(null)
    await until('every socket is closed', () => provider.open.size === 0)
    if (provider.mistakes.length > 0) throw new Error(provider.mistakes.join(', '))
  })
  return provider
}
