/**
 * Addresses of names, as the socket was told to look them up; and at once for what we send
 * ourselves, which has an address already. A datagram that waited for a look-up of its own address
 * could not leave before close().
 */
import type { Socket } from 'node:dgram'
import dns from 'node:dns'
import { isIP } from 'node:net'
import { SocketSecurityError, show } from '../../model/errors.js'
import { familyOf } from './addresses.js'

export type LookupCallback = (error: Error | null, address: string, family?: number) => void
export type Lookup = (hostname: string, family: number, callback: LookupCallback) => void

/** What has to be done between the look-up of an address and its use; `done` is called once, later. */
export type BeforeUse = (address: string, done: (error: Error | null) => void) => void

export class Resolver {
  /** The application's, where it gave one to the constructor. */
  custom: Lookup | null = null
  /** What is looked up now is an address, for a datagram of ours. */
  literal = false
  /** What has to be done between the next look-up of Node's own and the use of its answer. */
  before: BeforeUse | null = null

  /** For the base constructor. */
  readonly base: Lookup = (hostname, family, callback) => {
    if (this.literal) {
      callback(null, hostname, family)
      return
    }
    const { before } = this
    this.before = null
    if (before === null) {
      lookUp(this.custom, hostname, family, callback)
      return
    }
    let answered = false
    lookUp(this.custom, hostname, family, (error, address, ...rest) => {
      if (answered) return
      answered = true
      if (error) callback(error, address, ...rest)
      else before(address, failure => callback(failure, address, ...rest))
    })
  }

  /**
   * The address of a host, at once where it is one. `host` may be missing, for loopback.
   * @param callback as that of dns.lookup
   */
  resolve(host: string | undefined, type: string, callback: LookupCallback): void {
    const family = type === 'udp6' ? 6 : 4
    const name = host ?? loopback(type)
    if (this.custom === null && isIP(name) !== 0) {
      callback(null, name, family)
      return
    }
    let answered = false
    const answer = (error: Error | null, address: unknown) => {
      if (answered) return
      answered = true
      if (error || (typeof address === 'string' && isIP(address) !== 0))
        callback(error, address as string, family)
      else callback(noAddress(name, address), '', family)
    }
    try {
      lookUp(this.custom, name, family, answer)
    } catch (error) {
      answer(error as Error, undefined)
    }
  }

  /** Would resolve() call back at once? */
  knows(host: string | undefined): boolean {
    return this.custom === null && (host === undefined || familyOf(host) !== 0)
  }
}

function noAddress(host: string, answer: unknown): Error {
  return new SocketSecurityError(
    'EINVAL',
    `the look-up of ${show(host)} gave ${show(answer)}: it must give one address`,
  )
}

/** What no address means. */
export function loopback(type: string): string {
  return type === 'udp6' ? '::1' : '127.0.0.1'
}

function lookUp(
  custom: Lookup | null,
  hostname: string,
  family: number,
  callback: LookupCallback,
): void {
  if (custom) custom(hostname, family, callback)
  else dns.lookup(hostname, family, callback as never)
}

/** `udp4` or `udp6`, which the types of dgram.Socket do not tell. */
export function typeOf(socket: Socket): string {
  return (socket as { type?: string }).type ?? 'udp4'
}
