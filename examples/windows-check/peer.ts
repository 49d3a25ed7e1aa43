/** What two machines can answer together: whom the names mean, and what accepted connections have. */
import { createConnection } from 'node:net'
import { deleteName, query, setName, setSecurity } from './calls.js'
import { protection } from './machine.js'
import { type Check, peerOf, type Question } from './question.js'
import { named } from './report.js'
import type { Listen, Seen, SettingsName } from './server.js'
import { settingsOf } from './server.js'
import * as sockets from './sockets.js'
import {
  type Address,
  type Protocol,
  peerTargetName,
  queryTemplate,
  sizes,
  socketAddress,
  type Unit,
} from './variants.js'

/** How settings and names may have to be written. */
interface Spelling {
  readonly what: string
  readonly settings: Exclude<SettingsName, 'none'>
  readonly protocol: Protocol
  readonly unit: Unit
}

const ours: Spelling = {
  what: 'this library',
  settings: 'SETTINGS_IPSEC IPSEC',
  protocol: 'IPSEC2',
  unit: 'bytes',
}

const spellings: readonly Spelling[] = [
  ours,
  {
    what: "Microsoft's sample",
    settings: 'SETTINGS DEFAULT',
    protocol: 'DEFAULT',
    unit: 'characters',
  },
  { what: 'the documentation', settings: 'SETTINGS DEFAULT', protocol: 'DEFAULT', unit: 'bytes' },
  {
    what: 'IPSEC throughout',
    settings: 'SETTINGS_IPSEC IPSEC',
    protocol: 'IPSEC',
    unit: 'characters',
  },
  {
    what: 'IPSEC2 throughout',
    settings: 'SETTINGS_IPSEC IPSEC2',
    protocol: 'IPSEC2',
    unit: 'bytes',
  },
]

/** The first spelling that has made a connection: what the other questions use. */
const working = new WeakMap<object, Spelling>()

function spelling(check: Check): Spelling {
  return working.get(peerOf(check)) ?? ours
}

const names: Question = {
  id: 'names',
  asks: 'Whom may a peer be, by how the name is written?',
  expected: 'the right name connects, encrypted; wrong ones do not',
  needs: 'peer',
  async answer(check) {
    const peer = peerOf(check)
    const right: string[] = []
    const open: string[] = []
    for (const each of spellings) {
      const dialled = await dial(check, { spelling: each, name: peer.spn })
      check.note(`${each.what}, the right name`, dialled.text)
      if (!dialled.exchanged) continue
      if (!working.has(peer)) working.set(peer, each)
      right.push(each.what)
      for (const [kind, name] of Object.entries(peer.wrongNames)) {
        const wrong = await dial(check, { spelling: each, name })
        check.note(`${each.what}, ${kind}`, wrong.text)
        // In clear it is no danger: the library asks, and then closes.
        if (wrong.secured) open.push(`${each.what}, ${kind}`)
      }
    }
    const nameless = await dial(check, { spelling: ours, name: null })
    check.note('this library, no name', nameless.text)
    if (right.length === 0) return { answer: 'nothing connects with the right name', agrees: false }
    const connects = `connects: ${right.join(', ')}`
    const lets = open.length === 0 ? 'no wrong name does' : `A WRONG NAME DOES: ${open.join('; ')}`
    return {
      answer: `${connects}; ${lets}`,
      agrees: right.includes(ours.what) && open.length === 0,
    }
  },
}

const defaultPolicy: Question = {
  id: 'default-policy',
  asks: 'What do settings that are NULL give?',
  expected: 'a connection that need not be encrypted (the library never sends NULL)',
  needs: 'peer',
  async answer(check) {
    const dialled = await dial(check, { spelling: { ...spelling(check), settings: 'NULL' } })
    check.note('both ends NULL', dialled.text)
    if (!dialled.exchanged) return { answer: 'no connection', agrees: null }
    return { answer: dialled.protection, agrees: dialled.protection !== 'encrypted' }
  },
}

const accepted: Question = {
  id: 'accepted',
  asks: 'Do accepted connections have the security of the listening socket?',
  expected: 'yes: they can be queried, and a peer without IPsec is kept out',
  needs: 'peer',
  async answer(check) {
    const { seen, exchanged } = await dial(check, {})
    if (!seen) return { answer: 'the server has accepted nothing', agrees: null }
    check.note('query of the accepted socket', seen.info ? protection(seen.info) : seen.query)
    check.note('settings for the accepted socket', seen.settingsAgain ?? 'not tried')
    const clear = await dialInClear(check)
    check.note('a client without IPsec', clear ? 'GETS AN ANSWER' : 'gets no answer')
    const secured = seen.info?.secured ?? false
    if (!exchanged) return { answer: 'the connection carries no data', agrees: null }
    return {
      answer: `${secured ? 'yes' : 'NO'}; a client without IPsec is ${clear ? 'LET IN' : 'kept out'}`,
      agrees: secured && !clear,
    }
  },
}

const wideQuery: Question = {
  id: 'query-ipsec2',
  asks: 'Does a query by SOCKET_SECURITY_QUERY_INFO_IPSEC2 say more?',
  expected: 'yes: the numbers of the security associations, at both ends',
  needs: 'peer',
  async answer(check) {
    const { wide, seen } = await dial(check, {})
    check.note('at the client', wide ?? 'no connection')
    check.note('at the server', seen ? `${seen.wideQuery} ${JSON.stringify(seen.wide ?? {})}` : '')
    const told = wide?.includes('"mainModeSa":true') ?? false
    return { answer: told ? 'yes' : 'no', agrees: wide === undefined ? null : told }
  },
}

const impersonation: Question = {
  id: 'impersonation',
  asks: 'Does WSAImpersonateSocketPeer work, on overlapped sockets too, and is it reverted?',
  expected: 'on others as documented; where it does not, the token of a query does',
  needs: 'peer',
  async answer(check) {
    const works: string[] = []
    let reverted = true
    let tried = false
    for (const overlapped of [false, true]) {
      const kind = overlapped ? 'overlapped' : 'not overlapped'
      const { seen, text } = await dial(check, { overlapped, impersonate: true })
      const what = seen?.impersonation
      if (!what) {
        check.note(kind, text)
        continue
      }
      tried = true
      for (const [step, got] of Object.entries(what.steps)) check.note(`${kind}, ${step}`, got)
      if (what.direct) works.push(kind)
      if (what.byToken) works.push(`${kind} by the token`)
      reverted &&= what.reverted
    }
    if (!tried) return { answer: 'nothing was accepted', agrees: null }
    const answer = `${works.join(', ') || 'not at all'}${reverted ? '' : '; NOT REVERTED'}`
    return { answer, agrees: reverted && works.some(each => each.startsWith('overlapped')) }
  },
}

const datagrams: Question = {
  id: 'datagrams',
  asks: 'Are datagrams secured, and only those of the right peer delivered?',
  expected: 'yes; in clear nothing arrives; a name can be deleted',
  needs: 'peer',
  async answer(check) {
    const right = await sendDatagram(check, peerOf(check).spn)
    const results = [right]
    for (const [kind, name] of Object.entries(peerOf(check).wrongNames)) {
      const wrong = await sendDatagram(check, name, kind)
      results.push({ ...wrong, good: !wrong.arrived })
    }
    const clear = await sendDatagram(check, null, 'a client without IPsec')
    results.push({ ...clear, good: !clear.arrived })
    const good = results.every(each => each.good)
    const first = right.good ? 'the right name arrives, secured' : 'the right name does not arrive'
    return { answer: good ? `${first}; nothing else does` : `${first}; see below`, agrees: good }
  },
}

export const peerQuestions: readonly Question[] = [
  names,
  defaultPolicy,
  accepted,
  wideQuery,
  impersonation,
  datagrams,
]

interface Dialled {
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

interface Dial {
  readonly spelling?: Spelling
  /** null: none. Absent: the right one. */
  readonly name?: string | null
  readonly overlapped?: boolean
  readonly impersonate?: boolean
}

/** One connection to a listener of its own, from the first call to the last. */
async function dial(check: Check, request: Dial): Promise<Dialled> {
  const peer = peerOf(check)
  const { overlapped = true, impersonate = false } = request
  const { settings, protocol, unit } = request.spelling ?? spelling(check)
  const name = request.name === undefined ? peer.spn : request.name
  const failed = (text: string) => ({ secured: false, exchanged: false, protection: '', text })

  const socket = sockets.newSocket('stream', peer, overlapped)
  try {
    const to = await listen(check, { kind: 'stream', settings, overlapped, impersonate })
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
async function dialInClear(check: Check): Promise<boolean> {
  const { control } = peerOf(check)
  const { settings } = spelling(check)
  const to = await listen(check, { kind: 'stream', settings, overlapped: true, impersonate: false })
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

/** @param name null: without IPsec */
async function sendDatagram(check: Check, name: string | null, what = 'the right name') {
  const peer = peerOf(check)
  const { settings, protocol, unit } = spelling(check)
  const note = (step: string, got: string) => check.note(`${what}, ${step}`, got)
  const socket = sockets.newSocket('datagram', peer)
  try {
    const listening = { kind: 'datagram', settings, overlapped: true, impersonate: false } as const
    const to = await listen(check, listening)
    if (name !== null) {
      const set = await setSecurity(socket, settingsOf(settings))
      const given = await setName(socket, peerTargetName(protocol, name, { unit, peer: to }))
      note('settings, name', `${named(set.error)}, ${named(given.error)}`)
      if (set.error !== 0 || given.error !== 0) return { arrived: false, good: false }
      const early = await query(socket, queryTemplate('DEFAULT', { peer: to }), sizes.QUERY_INFO)
      note('query before it is sent', early.info ? protection(early.info) : named(early.error))
    }
    // The first ones may be lost while the peers negotiate.
    const deadline = performance.now() + check.patience
    let got: Awaited<ReturnType<typeof sockets.receive>> = { error: 0 }
    do {
      note('send', named(sockets.send(socket, 'ping', to)))
      got = await sockets.receive(socket, 3_000)
    } while ('error' in got && performance.now() < deadline)
    const { seen } = await peer.control.ask<{ seen: Seen | null }>({ do: 'seen', wait: 0 })
    note('the answer', 'text' in got ? got.text : named(got.error))
    note('at the server', seen ? (seen.info ? protection(seen.info) : seen.query) : 'nothing came')
    if (name !== null) {
      const late = await query(socket, queryTemplate('DEFAULT', { peer: to }), sizes.QUERY_INFO)
      note('query after', late.info ? protection(late.info) : named(late.error))
      const deleted = await deleteName(socket, socketAddress(to))
      note('delete the name', named(deleted.error))
      const again = await deleteName(socket, socketAddress(to))
      note('delete it again', named(again.error))
    }
    return { arrived: seen !== null, good: seen?.info?.secured ?? false }
  } finally {
    sockets.close(socket)
    await peer.control.ask({ do: 'close' })
  }
}

/** @returns where the server listens, as this machine sees it */
async function listen(check: Check, request: Omit<Listen, 'do' | 'names'>): Promise<Address> {
  const { control, address, names } = peerOf(check)
  const command = { ...request, do: 'listen', names }
  const { port } = await control.ask<Address>(command)
  return { address, port }
}
