/** The first machine: opens what the client asks for, and tells what it sees of it. */
import { query, setName, setSecurity } from './calls.js'
import { type Command, serveControl } from './control.js'
import { environment } from './environment.js'
import { type LibraryServer, serveDatagrams, serveStreams } from './library-server.js'
import { named } from './report.js'
import * as sockets from './sockets.js'
import { actAsPeer, type Impersonation } from './tokens.js'
import {
  type Address,
  type Info,
  type Protocol,
  peerTargetName,
  queryTemplate,
  settings,
  settingsIpsec,
  sizes,
  type Unit,
} from './variants.js'

/** What the server saw of a connection, or of a datagram. */
export interface Seen {
  readonly from: Address
  readonly received: string
  readonly query: string
  readonly info?: Info
  /** The same by SOCKET_SECURITY_QUERY_INFO_IPSEC2. */
  readonly wideQuery: string
  readonly wide?: Info
  /** WSASetSocketSecurity on the accepted SOCKET. */
  readonly settingsAgain?: string
  readonly impersonation?: Impersonation
}

/** Settings by what they are, so that they can be asked for over the control connection. */
export type SettingsName = 'none' | 'NULL' | `SETTINGS ${Protocol}` | `SETTINGS_IPSEC ${Protocol}`

/** What to listen for, and how. */
export interface Listening {
  readonly kind: sockets.Kind
  readonly settings: SettingsName
  /** False: the SOCKET is made without WSA_FLAG_OVERLAPPED. */
  readonly overlapped?: boolean
  /** Act as whoever comes. */
  readonly impersonate?: boolean
  /** For both families. */
  readonly dualStack?: boolean
  /** Of datagrams: what the client must prove to be, by its port. */
  readonly peerName?: {
    readonly port: number
    readonly name: string
    readonly protocol: Protocol
    readonly unit: Unit
  }
}

export interface Listen extends Listening, Command {
  readonly do: 'listen'
  /** Names of accounts may be told. */
  readonly names: boolean
}

/** null: NULL. */
export function settingsOf(name: Exclude<SettingsName, 'none'>): Buffer | null {
  if (name === 'NULL') return null
  const [structure, protocol] = name.split(' ') as [string, Protocol]
  return structure === 'SETTINGS' ? settings(protocol) : settingsIpsec(protocol)
}

/** Serves one client, and ends. */
export async function server(port: number, print: (line: string) => void): Promise<void> {
  const open: number[] = []
  const watches: Promise<void>[] = []
  let stop = new AbortController()
  const seen: Seen[] = []
  let library: LibraryServer | undefined
  let nextPort = port

  const commands: Record<string, (command: Command, client: string) => Promise<unknown>> = {
    environment,
    listen: (command, client) => listen(command as Listen, client),
    seen: ({ wait }) => next(Number(wait)),
    library: async ({ kind }) => {
      const serve = kind === 'datagram' ? serveDatagrams : serveStreams
      library = await serve(ownPort())
      return { port: library.port }
    },
    librarySaw: async () => ({ lines: library?.lines ?? [] }),
    close: async () => closeAll(),
  }
  await serveControl(
    port,
    async (command, client) => {
      print(`${command.do} ${command.settings ?? command.kind ?? ''}`)
      const perform = Object.hasOwn(commands, command.do) ? commands[command.do] : undefined
      if (!perform) throw new Error(`there is no command ${command.do}`)
      return perform(command, client)
    },
    listening => {
      if (port !== 0) nextPort = listening
      print(`waits for the client on port ${listening}`)
    },
  )
  await closeAll()

  /** Ports in a row, so that a firewall can be opened for them; any, where the first is any. */
  function ownPort(): number {
    if (port === 0) return 0
    nextPort += 1
    return nextPort
  }

  async function closeAll() {
    // Nobody may look at a SOCKET any more when it is closed: its number is soon another's.
    stop.abort()
    await Promise.all(watches.splice(0))
    sockets.close(...open.splice(0))
    stop = new AbortController()
    seen.length = 0
    await library?.close()
    library = undefined
    return {}
  }

  async function listen(command: Listen, client: string) {
    for (let tries = 1; ; tries += 1) {
      const { socket, error } = await openListener(command, client)
      if (error === 0) {
        const watch = command.kind === 'stream' ? watchConnections : watchDatagrams
        watches.push(watch(socket, command))
        return sockets.localAddress(socket)
      }
      sockets.close(open.pop())
      // A port that was used before may not be free again yet.
      const taken = error === sockets.WSAEADDRINUSE || error === sockets.WSAEACCES
      if (!taken || tries === 5) throw new Error(`bind, listen: ${named(error)}`)
    }
  }

  async function openListener(
    { kind, settings: wanted, overlapped = true, dualStack = false, peerName }: Listen,
    client: string,
  ): Promise<{ socket: number; error: number }> {
    const local = { address: dualStack ? '::' : '0.0.0.0', port: ownPort() }
    const socket = sockets.newSocket(kind, local, overlapped)
    open.push(socket)
    if (wanted !== 'none') {
      const { error } = await setSecurity(socket, settingsOf(wanted))
      if (error !== 0) throw new Error(`WSASetSocketSecurity: ${named(error)}`)
    }
    if (dualStack) sockets.useBothFamilies(socket)
    if (peerName) {
      const { port, name, protocol, unit } = peerName
      const peer = { address: client.replace(/^::ffff:/, ''), port }
      const { error } = await setName(socket, peerTargetName(protocol, name, { unit, peer }))
      if (error !== 0) throw new Error(`WSASetSocketPeerTargetName: ${named(error)}`)
    }
    const bound = sockets.bind(socket, local)
    return { socket, error: bound || (kind === 'stream' ? sockets.listen(socket) : 0) }
  }

  async function watchConnections(listener: number, command: Listen) {
    for (;;) {
      const accepted = await sockets.accept(listener, Number.POSITIVE_INFINITY, stop.signal)
      if (!accepted) return
      const { socket, from } = accepted
      open.push(socket)
      const got = await sockets.receive(socket, 10_000, stop.signal)
      const received = 'text' in got ? got.text : named(got.error)
      if ('text' in got) sockets.send(socket, 'pong')
      seen.push(await look(socket, undefined, { from, received }, command))
    }
  }

  async function watchDatagrams(socket: number, command: Listen) {
    const { signal } = stop
    while (!signal.aborted) {
      const got = await sockets.receive(socket, Number.POSITIVE_INFINITY, signal)
      if (!('text' in got)) continue
      const { text: received, from } = got
      // Asked before the answer leaves: it would secure the flow by itself.
      const what = await look(socket, from, { from, received }, command)
      sockets.send(socket, 'pong', from)
      seen.push(what)
    }
  }

  async function look(
    socket: number,
    peer: Address | undefined,
    basic: { from: Address; received: string },
    { impersonate = false, names }: Listen,
  ): Promise<Seen> {
    const about = peer ? { peer } : {}
    const plain = await query(socket, queryTemplate('DEFAULT', about), sizes.QUERY_INFO)
    const wide = await query(socket, queryTemplate('IPSEC2', about), sizes.QUERY_INFO_IPSEC2)
    const again = peer ? undefined : await setSecurity(socket, settings('DEFAULT'))
    return {
      ...basic,
      query: named(plain.error),
      ...(plain.info ? { info: plain.info } : {}),
      wideQuery: named(wide.error),
      ...(wide.info ? { wide: wide.info } : {}),
      ...(again ? { settingsAgain: named(again.error) } : {}),
      ...(impersonate ? { impersonation: await actAsPeer(socket, peer, names) } : {}),
    }
  }

  async function next(wait: number) {
    const deadline = performance.now() + wait
    while (seen.length === 0 && performance.now() < deadline) await sockets.delay(20)
    return { seen: seen.shift() ?? null }
  }
}
