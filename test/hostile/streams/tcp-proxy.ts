/** Somebody who carries the bytes of a connection between its ends, and does what he likes with them. */
import net, { type AddressInfo, type Socket } from 'node:net'
import type { Test } from 'tap'
import { event } from '../../support/events.js'

/** One connection as he sees it: both of its ends, and what has come from each until now. */
export interface Link {
  readonly client: Socket
  readonly server: Socket
  /** Bytes that have been passed on, by where they went. */
  readonly passed: { toClient: number; toServer: number }
  /** Both ends hear a clean end. */
  end(): void
  /** Both ends hear a reset. */
  reset(): void
  /** From now on nothing is passed on, and nobody hears of an end. */
  freeze(): void
}

export type Direction = 'toClient' | 'toServer'

/** What is passed on in the place of these bytes; nothing, where they have been dealt with. */
export type Passage = (bytes: Buffer, direction: Direction, link: Link) => Buffer | undefined

export interface TcpProxy {
  readonly port: number
  readonly links: readonly Link[]
}

/** Stands before the server at `serverPort` on 127.0.0.1 until the end of the test. */
export async function tcpProxy(
  t: Test,
  serverPort: number,
  passage: Passage = bytes => bytes,
): Promise<TcpProxy> {
  const links: Link[] = []
  const open = new Set<Socket>()
  const proxy = net.createServer({ allowHalfOpen: true, noDelay: true }, client => {
    const to = { port: serverPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true }
    const server = net.connect(to)
    let frozen = false
    const link: Link = {
      client,
      server,
      passed: { toClient: 0, toServer: 0 },
      end() {
        frozen = true
        for (const each of [client, server]) each.end(() => each.destroy())
      },
      reset() {
        frozen = true
        for (const each of [client, server]) each.resetAndDestroy()
      },
      freeze() {
        frozen = true
      },
    }
    links.push(link)
    for (const [from, to, direction] of [
      [client, server, 'toServer'],
      [server, client, 'toClient'],
    ] as const) {
      open.add(from)
      from.on('data', bytes => {
        const instead = frozen ? undefined : passage(bytes, direction, link)
        if (instead === undefined || instead.length === 0 || frozen) return
        link.passed[direction] += instead.length
        to.write(instead)
      })
      from.on('end', () => frozen || to.end())
      from.on('error', error => {
        if (!frozen && (error as { code?: string }).code === 'ECONNRESET') to.resetAndDestroy()
      })
      from.on('close', () => {
        open.delete(from)
        if (!frozen) to.destroy()
      })
    }
  })
  proxy.listen(0, '127.0.0.1')
  await event(proxy, 'listening')
  t.teardown(async () => {
    for (const each of open) each.destroy()
    await new Promise(resolve => proxy.close(resolve))
  })
  return { port: (proxy.address() as AddressInfo).port, links }
}

/** Has whole records pass, one at a time; `meddle` gives what is passed on in the place of each. */
export function byRecords(
  meddle: (record: Buffer, direction: Direction, index: number, link: Link) => Buffer | undefined,
): Passage {
  const states = new WeakMap<Link, Record<Direction, { rest: Buffer; count: number }>>()
  const empty = () => ({ rest: Buffer.alloc(0), count: 0 })
  return (bytes, direction, link) => {
    const both = states.get(link) ?? { toClient: empty(), toServer: empty() }
    states.set(link, both)
    const state = both[direction]
    state.rest = Buffer.concat([state.rest, bytes])
    const passed: Buffer[] = []
    while (state.rest.length >= 5) {
      const length = 5 + state.rest.readUInt16BE(3)
      if (state.rest.length < length) break
      const record = state.rest.subarray(0, length)
      state.rest = state.rest.subarray(length)
      const instead = meddle(record, direction, state.count, link)
      state.count += 1
      if (instead) passed.push(instead)
    }
    return Buffer.concat(passed)
  }
}
