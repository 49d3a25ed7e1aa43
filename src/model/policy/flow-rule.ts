/** Which connections and datagrams a rule of the policy is about. */
import { isIP } from 'node:net'
import { type AddressRange, includes } from './address-range.js'

/** A connection, or what goes to one peer of a datagram socket. */
export interface Flow {
  readonly transport: 'tcp' | 'udp' | 'pipe'
  /** Who begins: we (`'out'`), or the peer (`'in'`). */
  readonly direction: 'out' | 'in'
  /** What the application called the peer: a name or an address. */
  readonly host?: string | undefined
  /** The peer's address, where it is known. */
  readonly address?: string | undefined
  /** The peer's port of what goes out, our own of what comes in. */
  readonly port?: number | undefined
}

/** What must hold of a flow, all of it. */
export interface FlowRule {
  readonly transport?: 'tcp' | 'udp'
  readonly direction?: 'out' | 'in'
  /** In lower case, without a dot at its end; `*.` at its beginning stands for one or more labels. */
  readonly host?: string
  readonly addresses?: readonly AddressRange[]
  readonly ports?: readonly [from: number, to: number]
  /** Pipes and unix sockets, and nothing else. */
  readonly pipes?: true
}

/**
 * A rule about addresses is not met by a name that nobody has looked up yet, nor is a rule about a
 * host by an address: what is not known does not match.
 */
export function matches(rule: FlowRule, flow: Flow): boolean {
  if ((flow.transport === 'pipe') !== (rule.pipes === true)) return false
  if (rule.transport !== undefined && rule.transport !== flow.transport) return false
  if (rule.direction !== undefined && rule.direction !== flow.direction) return false
  if (rule.ports !== undefined && !isBetween(flow.port, rule.ports)) return false
  if (rule.host !== undefined && !isNamed(flow.host, rule.host)) return false
  if (rule.addresses === undefined) return true
  const address = addressOf(flow)
  return address !== undefined && rule.addresses.some(range => includes(range, address))
}

function isBetween(port: number | undefined, [from, to]: readonly [number, number]): boolean {
  return port !== undefined && port >= from && port <= to
}

function isNamed(host: string | undefined, pattern: string): boolean {
  if (host === undefined) return false
  const name = canonicalHost(host)
  if (!pattern.startsWith('*.')) return name === pattern
  return name.length > pattern.length - 1 && name.endsWith(pattern.slice(1))
}

/** A name of a host as it is compared: in lower case, without the dot at its end. */
export function canonicalHost(host: string): string {
  return host.toLowerCase().replace(/\.$/, '')
}

/** The peer's address, as far as it is known. */
export function addressOf({ address, host }: Flow): string | undefined {
  return address ?? (host !== undefined && isIP(host) !== 0 ? host : undefined)
}
