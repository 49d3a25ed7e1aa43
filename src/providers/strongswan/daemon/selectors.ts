/** Traffic selectors: which packets, as strongSwan reads and prints them. */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { canonicalAddress } from '../../../model/target-name.js'
import type { FiveTuple, Transport } from '../plans/plans.js'

/** One address, and one port or (0) all of them. */
export function selector(address: string, transport: Transport, port: number): string {
  return `${address}/${isIP(address) === 6 ? 128 : 32}[${protocolAndPort(transport, port)}]`
}

/** The address that the IKE daemons themselves use: nobody can ask for somebody else's packets. */
export function dynamicSelector(transport: Transport, port: number): string {
  return `dynamic[${protocolAndPort(transport, port)}]`
}

/** Every address of either family. */
export function everySelector(transport: Transport, port: number): string[] {
  return ['0.0.0.0/0', '::/0'].map(each => `${each}[${protocolAndPort(transport, port)}]`)
}

function protocolAndPort(transport: Transport, port: number): string {
  return port === 0 ? transport : `${transport}/${port}`
}

interface End {
  readonly transport: Transport
  readonly address: string
  /** 0: every port. */
  readonly port: number
}

/**
 * The flow between two selectors as list-sas prints them.
 * @returns undefined where they are more than one address each, or no such flow of ours
 */
export function flowOf(local: readonly string[], remote: readonly string[]): FiveTuple | undefined {
  const [near, ...moreNear] = local
  const [far, ...moreFar] = remote
  if (near === undefined || far === undefined || moreNear.length + moreFar.length > 0) return
  const here = parse(near)
  const there = parse(far)
  if (here === undefined || there === undefined || here.transport !== there.transport) return
  return {
    transport: here.transport,
    localAddress: here.address,
    localPort: here.port,
    remoteAddress: there.address,
    remotePort: there.port,
  }
}

/** `10.9.0.2/32[udp/5000]`, `fd09::2/128[tcp/http]`, `10.9.0.2/32[udp]` */
function parse(text: string): End | undefined {
  const match = /^([0-9a-fA-F.:]+)\/(32|128)\[(tcp|udp|6|17)(?:\/([\w.+-]+))?\]$/.exec(text)
  if (match === null) return undefined
  const [, address = '', bits, protocol, service] = match
  const family = isIP(address)
  if (family === 0 || (family === 4 ? '32' : '128') !== bits) return undefined
  const transport = protocol === 'tcp' || protocol === '6' ? 'tcp' : 'udp'
  const port = service === undefined ? 0 : portOf(service, transport)
  return port === undefined ? undefined : { transport, address: canonicalAddress(address), port }
}

function portOf(service: string, transport: Transport): number | undefined {
  if (/^\d{1,5}$/.test(service)) return Number(service)
  services ??= readServices()
  return services.get(`${service}/${transport}`)
}

let services: Map<string, number> | undefined

/** services(5): strongSwan prints a port's name where it has one, and only the first of them. */
function readServices(): Map<string, number> {
  const found = new Map<string, number>()
  let text = ''
  try {
    text = readFileSync('/etc/services', 'latin1')
  } catch {
    // Without the file strongSwan has no names either.
  }
  for (const line of text.split('\n')) {
    const [, name, port, protocol] = /^([^\s#]+)\s+(\d+)\/(\w+)/.exec(line) ?? []
    if (name === undefined) continue
    const key = `${name}/${protocol}`
    if (!found.has(key)) found.set(key, Number(port))
  }
  return found
}
