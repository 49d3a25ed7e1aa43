/** What one machine can answer alone: which structures the functions take, and with which errors they refuse. */
import { networkInterfaces } from 'node:os'
import * as winsock from '../../lib/winsock.js'
import { type Manner, type Outcome, query, setName, setSecurity } from './calls.js'
import type { Check, Question } from './question.js'
import { named } from './report.js'
import * as sockets from './sockets.js'
import { usableSettings } from './usable.js'
import {
  type Address,
  peerTargetName,
  queryTemplate,
  settings,
  settingsIpsec,
  sizes,
  type Unit,
} from './variants.js'

const V4 = { address: '127.0.0.1' }
const V6 = { address: '::1' }
const LOOPBACK: Address = { ...V4, port: 0 }
const NOWHERE: Address = { address: '0.0.0.0', port: 0 }
const SPN = 'host/server.example.com'

const functions: Question = {
  id: 'functions',
  asks: 'Are the functions of the secure socket extensions there?',
  expected: 'all of them, in Fwpuclnt.dll of the system directory',
  needs: 'machine',
  async answer() {
    winsock.requireSecureSocketExtensions()
    return { answer: 'all of them', agrees: true }
  },
}

const settingsTaken: Question = {
  id: 'settings',
  asks: 'Which SecurityProtocol do SOCKET_SECURITY_SETTINGS and SOCKET_SECURITY_SETTINGS_IPSEC take?',
  expected: 'DEFAULT and IPSEC for the first, IPSEC for the second; NULL is taken',
  needs: 'machine',
  async answer(check) {
    const takes = async (what: string, bytes: Buffer | null) => {
      const { error } = await withSocket('stream', socket => setSecurity(socket, bytes))
      check.note(what, named(error))
      return error === 0
    }
    const variants = ['DEFAULT', 'IPSEC', 'IPSEC2', 'INVALID'] as const
    const none = await takes('NULL', null)
    const short: string[] = []
    const long: string[] = []
    for (const protocol of variants) {
      if (await takes(`8 bytes, ${protocol}`, settings(protocol))) short.push(protocol)
      if (await takes(`88 bytes, ${protocol}`, settingsIpsec(protocol))) long.push(protocol)
      await takes(`84 bytes, ${protocol}`, settingsIpsec(protocol, { size: 84 }))
    }
    const list = (each: string[]) => each.join(', ') || 'nothing'
    return {
      answer: `SETTINGS: ${list(short)}; SETTINGS_IPSEC: ${list(long)}${none ? '' : '; not NULL'}`,
      agrees: none && short.includes('DEFAULT') && long.includes('IPSEC'),
    }
  },
}

const accountLength: Question = {
  id: 'account-length',
  asks: 'Are the lengths of user, domain and password counted in bytes or in characters?',
  expected: 'bytes',
  needs: 'machine',
  async answer(check) {
    // Of nobody: nothing is connected, so nothing is tried with it.
    const account = { user: 'nobody', domain: 'nowhere', password: 'nothing' }
    const counted = new Set<string>()
    for (const protocol of ['IPSEC', 'IPSEC2'] as const) {
      const unit = await unitOf(check, protocol, (unit, excess) =>
        withSocket('stream', socket =>
          setSecurity(socket, settingsIpsec(protocol, { account, unit, excess })),
        ),
      )
      if (unit !== 'refused') counted.add(unit)
    }
    return judgeUnit(counted)
  },
}

const nameLength: Question = {
  id: 'name-length',
  asks: 'Is PeerTargetNameStringLen counted in bytes or in characters?',
  expected: 'bytes, with IPSEC2, which is what the library sends',
  needs: 'machine',
  async answer(check) {
    const units: string[] = []
    let agrees: boolean | null = null
    for (const protocol of ['DEFAULT', 'IPSEC', 'IPSEC2'] as const) {
      const unit = await unitOf(check, protocol, (unit, excess) =>
        withSocket('stream', async socket => {
          const secured = await setSecurity(socket, await usableSettings())
          if (secured.error !== 0) return secured
          return setName(socket, peerTargetName(protocol, SPN, { unit, excess }))
        }),
      )
      units.push(`${protocol}: ${unit}`)
      if (protocol === 'IPSEC2' && unit !== 'cannot be told') agrees = unit === 'bytes'
    }
    return { answer: units.join(', '), agrees }
  },
}

const preconditions: Question = {
  id: 'preconditions',
  asks: 'Are mistakes refused as documented?',
  expected: 'each with the documented error',
  needs: 'machine',
  async answer(check) {
    const differs: string[] = []
    let count = 0
    const expect = async (what: string, errors: readonly string[], act: () => Promise<Outcome>) => {
      const got = named((await act()).error)
      check.note(what, got)
      count += 1
      if (!errors.some(each => got.startsWith(each))) differs.push(what)
    }
    const secured = await usableSettings()
    await expect('settings of 7 bytes', ['WSAEMSGSIZE'], () =>
      withSocket('stream', socket => setSecurity(socket, secured.subarray(0, 7))),
    )
    await expect('settings with an unknown protocol', ['WSAEINVAL'], () =>
      withSocket('stream', socket => setSecurity(socket, settings('INVALID'))),
    )
    await expect('settings a second time', ['WSAEINVAL'], () =>
      withSocket('stream', async socket => {
        await setSecurity(socket, secured)
        return setSecurity(socket, secured)
      }),
    )
    await expect('settings after bind', ['WSAEINVAL'], () =>
      withSocket('stream', async socket => {
        sockets.bind(socket, LOOPBACK)
        return setSecurity(socket, secured)
      }),
    )
    await expect('settings of a connected socket', ['WSAEISCONN'], () =>
      withConnection(check, null, ({ client }) => setSecurity(client, secured)),
    )
    await expect('settings of no socket', ['WSAENOTSOCK'], () => setSecurity(0x7ffffff0, secured))
    await expect('no name at all', ['WSAEFAULT'], () =>
      withSocket('stream', async socket => {
        await setSecurity(socket, secured)
        return setName(socket, null)
      }),
    )
    await expect('a name for a datagram peer without an address', ['WSAEINVAL'], () =>
      withSocket('datagram', async socket => {
        await setSecurity(socket, secured)
        return setName(socket, peerTargetName('IPSEC2', SPN, { peer: NOWHERE }))
      }),
    )
    // Which error it gives is not documented.
    const refusals = ['WSAEFAULT', 'WSAEINVAL', 'WSAEMSGSIZE']
    await expect('a query of a datagram socket without a peer', refusals, () =>
      withSocket('datagram', async socket => {
        await setSecurity(socket, secured)
        return query(socket, null, sizes.QUERY_INFO)
      }),
    )
    await expect('settings of an IPv6 socket', ['ok'], () =>
      withSocket('stream', socket => setSecurity(socket, secured), V6),
    )
    return {
      answer: differs.length === 0 ? `all ${count} as documented` : `not: ${differs.join('; ')}`,
      agrees: differs.length === 0,
    }
  },
}

const exclusive: Question = {
  id: 'exclusive',
  asks: 'Does WSASetSocketSecurity set SO_EXCLUSIVEADDRUSE?',
  expected: 'yes (the library sets it itself all the same)',
  needs: 'machine',
  async answer(check) {
    return withSocket('stream', async socket => {
      const before = sockets.isExclusive(socket)
      const { error } = await setSecurity(socket, await usableSettings())
      const after = sockets.isExclusive(socket)
      check.note('before', String(before))
      check.note('after', `${after} (the call: ${named(error)})`)
      return { answer: after ? 'yes' : 'no', agrees: error === 0 ? after : null }
    })
  },
}

const completion: Question = {
  id: 'completion',
  asks: 'Do calls with an OVERLAPPED complete, and when?',
  expected: 'at once or later, but they complete',
  needs: 'machine',
  async answer(check) {
    const manners: Manner[] = ['overlapped', 'lowBit']
    let late = false
    let failed = false
    let pending = false
    for (const manner of manners) {
      await withSocket('stream', async socket => {
        const calls = {
          settings: await setSecurity(socket, await usableSettings(), manner),
          name: await setName(socket, peerTargetName('IPSEC2', SPN), manner),
        }
        for (const [what, outcome] of Object.entries(calls)) {
          check.note(`${what}, ${manner}`, duration(outcome))
          late ||= outcome.late
          failed ||= outcome.error !== 0 && !outcome.late
          pending ||= outcome.pending
        }
      })
    }
    const answer = late ? 'not all of them' : pending ? 'all of them, some later' : 'all at once'
    return { answer, agrees: late ? false : failed ? null : true }
  },
}

const loopback: Question = {
  id: 'loopback',
  asks: 'Is a connection within one machine secured?',
  expected: 'no: the library then refuses it with EPROTO',
  needs: 'machine',
  async answer(check) {
    let secured = false
    let told = false
    for (const address of ['127.0.0.1', ...ownAddresses()]) {
      const what = address === '127.0.0.1' ? address : "this machine's own address"
      await withConnection(
        check,
        await usableSettings(),
        async ({ client, accepted }) => {
          for (const [end, socket] of Object.entries({ client, accepted })) {
            const { error, info } = await query(socket, null, sizes.QUERY_INFO)
            const got = info ? protection(info) : named(error)
            check.note(`${what}, at the ${end}`, got)
            told ||= info !== undefined
            secured ||= info?.secured ?? false
          }
        },
        address,
      ).catch((error: Error) => check.note(what, error.message))
    }
    if (!told) return { answer: 'no connection that could be asked about', agrees: null }
    return { answer: secured ? 'yes' : 'no', agrees: !secured }
  },
}

const querySize: Question = {
  id: 'query-size',
  asks: 'Is the question for the size of an answer refused with WSAEFAULT or with WSAEMSGSIZE?',
  expected: 'either (the library never asks)',
  needs: 'machine',
  async answer(check) {
    return withConnection(check, await usableSettings(), probe).catch((error: Error) => {
      check.note('a secured connection within this machine', error.message)
      return withConnection(check, null, probe)
    })

    async function probe({ client }: { client: number }) {
      const answers = new Set<string>()
      for (const [what, template] of Object.entries({
        'without a template': null,
        'with a template': queryTemplate('DEFAULT'),
        'with a template of IPSEC2': queryTemplate('IPSEC2'),
      })) {
        const asked = await query(client, template, null)
        check.note(`${what}, no room`, `${named(asked.error)}, ${asked.length} bytes`)
        const small = await query(client, template, 8)
        check.note(`${what}, room for 8 bytes`, `${named(small.error)}, ${small.length} bytes`)
        answers.add(named(asked.error))
      }
      const known = [...answers].every(each => /^WSAE(FAULT|MSGSIZE)/.test(each))
      return { answer: [...answers].join(', '), agrees: known }
    }
  },
}

export const machineQuestions: readonly Question[] = [
  functions,
  settingsTaken,
  accountLength,
  nameLength,
  preconditions,
  exclusive,
  completion,
  loopback,
  querySize,
]

/** How long it took, and whether it was over at once. */
export function duration({ error, pending, late, milliseconds }: Outcome): string {
  const when = late ? 'never completed' : pending ? 'completed later' : 'at once'
  return `${late ? '' : `${named(error)}, `}${when}, ${milliseconds.toFixed(1)} ms`
}

export function protection({ secured, encrypted }: { secured: boolean; encrypted: boolean }) {
  return encrypted ? 'encrypted' : secured ? 'secured, not encrypted' : 'in clear'
}

/**
 * The structure has the room that its texts need, and hardly more. A length in bytes fits only where
 * bytes are counted, and one that says much more fits nowhere; one in characters fits in any case.
 */
async function unitOf(
  check: Check,
  protocol: string,
  set: (unit: Unit, excess: number) => Promise<Outcome>,
): Promise<Unit | 'refused' | 'cannot be told'> {
  const bytes = await set('bytes', 0)
  const more = await set('bytes', EXCESS)
  const characters = await set('characters', 0)
  check.note(`${protocol}, in bytes`, named(bytes.error))
  check.note(`${protocol}, in bytes, ${EXCESS} too many`, named(more.error))
  check.note(`${protocol}, in characters`, named(characters.error))
  if (bytes.error === 0) return more.error === 0 ? 'cannot be told' : 'bytes'
  return characters.error === 0 ? 'characters' : 'refused'
}

function judgeUnit(counted: Set<string>) {
  if (counted.size === 0) return { answer: 'all are refused', agrees: null }
  const agrees = counted.has('cannot be told') ? null : counted.has('bytes')
  return { answer: [...counted].join(', '), agrees }
}

/** More than what follows the texts in the structure. */
const EXCESS = 16

async function withSocket<T>(
  kind: sockets.Kind,
  act: (socket: number) => Promise<T>,
  family: { address: string } = V4,
): Promise<T> {
  const socket = sockets.newSocket(kind, family)
  try {
    return await act(socket)
  } finally {
    sockets.close(socket)
  }
}

/** @param secured settings of both ends; null: a plain connection */
async function withConnection<T>(
  check: Check,
  secured: Buffer | null,
  act: (connection: { client: number; accepted: number }) => Promise<T>,
  address = '127.0.0.1',
): Promise<T> {
  const open: number[] = []
  const socket = async () => {
    const made = sockets.newSocket('stream', { address })
    open.push(made)
    const { error } = secured ? await setSecurity(made, secured) : { error: 0 }
    if (error !== 0) throw new Error(`WSASetSocketSecurity: ${named(error)}`)
    return made
  }
  try {
    const listener = await socket()
    const bound = sockets.bind(listener, { address, port: 0 }) || sockets.listen(listener)
    if (bound !== 0) throw new Error(`bind, listen: ${named(bound)}`)
    const client = await socket()
    const to = { address, port: sockets.localAddress(listener).port }
    const made = await sockets.connect(client, to, check.patience)
    if (made.error !== 0) throw new Error(`connect: ${named(made.error)}`)
    const accepted = await sockets.accept(listener, 2_000)
    if (!accepted) throw new Error('nothing was accepted')
    open.push(accepted.socket)
    return await act({ client, accepted: accepted.socket })
  } finally {
    sockets.close(...open)
  }
}

/** IPv4 addresses of this machine, of which one is enough. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap(each => each ?? [])
  return all
    .filter(each => each.family === 'IPv4' && !each.internal)
    .map(each => each.address)
    .slice(0, 1)
}
