/** Connections to the other machine, each to a listener of its own. */
import { createConnection } from 'node:net'
import { query, setName, setSecurity } from './calls.js'
import { protection } from './machine.js'
import { type Check, peerOf } from './question.js'
import { named } from './report.js'
import { type Listen, type Listening, type Seen, settingsOf } from './server.js'
import * as sockets from './sockets.js'
import { type Spelling, spelling } from './spelling.js'
import { type Address, peerTargetName, queryTemplate, sizes } from './variants.js'

export interface Dialled {
  /** It is connected, and Windows calls it secured. */
  readonly secured: boolean
  /** Data went both ways. */
  readonly exchanged: boolean
  readonly protection: string
  /** All of it, for people. */
  readonly text: string
  readonly wide?: string
  readonly seen?: Seen
}

export interface Dial {
  readonly spelling?: Spelling
  /** null: none. Absent: the right one. */
  readonly name?: string | null
  readonly overlapped?: boolean
  readonly impersonate?: boolean
  /** The server listens for both families. */
  readonly dualStack?: boolean
}

/** One connection to a listener of its own, from the first call to the last. */
export async function dial(check: Check, request: Dial): Promise<Dialled> {
  const peer = peerOf(check)
  const { overlapped = true, impersonate = false, dualStack = false } = request
  const { settings, protocol, unit } = request.spelling ?? spelling(check)
  const name = request.name === undefined ? peer.spn : request.name
  const failed = (text: string) => ({ secured: false, exchanged: false, protection: '', text })

  const socket = sockets.newSocket('stream', peer, overlapped)
  try {
    const how = { overlapped, impersonate, dualStack }
    const to = await listen(check, { kind: 'stream', settings, ...how })
    const set = await setSecurity(socket, settingsOf(settings))
    if (set.error !== 0) return failed(`WSASetSocketSecurity: ${named(set.error)}`)
    if (name !== null) {
      const given = await setName(socket, peerTargetName(protocol, name, { unit }))
      if (given.error !== 0) return failed(`WSASetSocketPeerTargetName: ${named(given.error)}`)
    }
    const made = await sockets.connect(socket, to, check.patience)
    const after = `after ${made.milliseconds.toFixed(0)} ms`
    if (made.error !== 0) return failed(`connect: ${named(made.error)} ${after}`)

    const asked = await query(socket, null, sizes.QUERY_INFO)
    const wide = await query(socket, queryTemplate('IPSEC2'), sizes.QUERY_INFO_IPSEC2)
    const here = asked.info ? protection(asked.info) : named(asked.error)
    sockets.send(socket, 'ping')
    const got = await sockets.receive(socket, 10_000)
    const exchanged = 'text' in got && got.text === 'pong'
    const { seen } = await peer.control.ask<{ seen: Seen | null }>({ do: 'seen', wait: 15_000 })
    const there = seen ? (seen.info ? protection(seen.info) : seen.query) : 'nothing accepted'
    return {
      secured: asked.info?.secured ?? false,
      exchanged,
      protection: here,
      text: `connected ${after}; client: ${here}; server: ${there}; ${exchanged ? 'data' : 'NO DATA'} both ways`,
      wide: `${named(wide.error)} ${JSON.stringify(wide.info ?? {})}`,
      ...(seen ? { seen } : {}),
    }
  } catch (error) {
    return failed((error as Error).message)
  } finally {
    sockets.close(socket)
    await peer.control.ask({ do: 'close' })
  }
}

/** Does a plain connection to a secured listener get an answer? */
export async function dialInClear(check: Check): Promise<boolean> {
  const { control } = peerOf(check)
  const { settings } = spelling(check)
  const to = await listen(check, { kind: 'stream', settings })
  const socket = createConnection({ host: to.address, port: to.port })
  try {
    return await new Promise<boolean>(resolve => {
      socket.on('connect', () => socket.write('ping'))
      socket.on('data', () => resolve(true))
      socket.on('error', () => resolve(false))
      socket.setTimeout(check.patience, () => resolve(false))
    })
  } finally {
    socket.destroy()
    await control.ask({ do: 'close' })
  }
}

/** @returns where the server listens, as this machine sees it */
export async function listen(check: Check, request: Listening): Promise<Address> {
  const { control, address, names } = peerOf(check)
  const command: Listen = { ...request, do: 'listen', names }
  const { port } = await control.ask<Address>(command)
  return { address, port }
}
