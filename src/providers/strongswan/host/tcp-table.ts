/**
 * The kernel's TCP sockets, as /proc/net/tcp and /proc/net/tcp6 list them: what has become of a
 * connection whose descriptor is closed already. proc(5); the addresses are written as numbers of 32
 * bits in the machine's own order.
 */
import { readFile } from 'node:fs/promises'
import { endianness } from 'node:os'
import { ipv6Bytes } from '../../../model/ipv6-bytes.js'
import type { FiveTuple } from '../plans/plans.js'

/** States of include/net/tcp_states.h that matter here. */
const FIN_WAIT2 = 5
const TIME_WAIT = 6
const LISTEN = 10

/** What the kernel still has to do for a connection. */
export type Remainder =
  /** It has bytes that its peer has not acknowledged, or the connection is open. */
  | 'busy'
  /** All that was sent has arrived; the peer has not closed yet. */
  | 'half closed'
  /** Both ends have closed; a late packet would be answered. */
  | 'time wait'
  /** Nothing. */
  | 'gone'

type Tuple = Pick<FiveTuple, 'localAddress' | 'localPort' | 'remoteAddress' | 'remotePort'>

export interface TcpTable {
  /** Of the connection between these plain addresses. */
  connection(tuple: Tuple): Remainder
  /** Of all connections of a local port, but not of what listens there: what takes longest. */
  port(localPort: number): Remainder
}

/** Whoever may not look, or has no IPv6, sees an empty table of it. */
export async function readTcpTable(): Promise<TcpTable> {
  const texts = await Promise.all(
    ['/proc/self/net/tcp', '/proc/self/net/tcp6'].map(path =>
      readFile(path, 'latin1').catch(() => ''),
    ),
  )
  return parseTcpTable(texts)
}

/** @param texts the contents of both files */
export function parseTcpTable(texts: readonly string[]): TcpTable {
  const connections = new Map<string, number>()
  const ports = new Map<number, Set<number>>()
  for (const text of texts) {
    for (const [, local = '', port = '', remote = '', status = ''] of text.matchAll(entry)) {
      const state = Number.parseInt(status, 16)
      connections.set(`${local}:${port} ${remote}`, state)
      const number = Number.parseInt(port, 16)
      const states = ports.get(number) ?? new Set()
      ports.set(number, states.add(state))
    }
  }
  return {
    connection: tuple => longest(keysOf(tuple).flatMap(key => connections.get(key) ?? [])),
    port: localPort => longest([...(ports.get(localPort) ?? [])].filter(each => each !== LISTEN)),
  }
}

/** `  12: 0200A8C0:1F90 0100A8C0:C350 01 …` */
const entry = /^ *\d+: ([\dA-F]{8,32}):([\dA-F]{4}) ([\dA-F]{8,32}:[\dA-F]{4}) ([\dA-F]{2}) /gm

function longest(states: readonly number[]): Remainder {
  if (states.some(state => state !== TIME_WAIT && state !== FIN_WAIT2)) return 'busy'
  if (states.includes(FIN_WAIT2)) return 'half closed'
  return states.length > 0 ? 'time wait' : 'gone'
}

/** IPv4 stands in either file: a socket of IPv6 writes it as ::ffff:a.b.c.d. */
function keysOf({ localAddress, localPort, remoteAddress, remotePort }: Tuple): string[] {
  const forms: ((address: string) => string)[] = localAddress.includes(':')
    ? [ipv6Words]
    : [ipv4Word, address => `${ipv6Words('::ffff:0:0').slice(0, 24)}${ipv4Word(address)}`]
  return forms.map(
    form =>
      `${form(localAddress)}:${hex(localPort, 4)} ${form(remoteAddress)}:${hex(remotePort, 4)}`,
  )
}

function ipv4Word(address: string): string {
  return words(Uint8Array.from(address.split('.'), Number))
}

function ipv6Words(address: string): string {
  return words(Uint8Array.from(ipv6Bytes(address)))
}

function words(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const little = endianness() === 'LE'
  let text = ''
  for (let at = 0; at < bytes.length; at += 4) text += hex(view.getUint32(at, little), 8)
  return text
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, '0')
}
