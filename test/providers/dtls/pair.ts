/** Two associations in memory: what one sends the other receives, when the test says so. */
import { createArena } from '../../../lib/memory.js'
import { type DatagramSecuritySettings, parseSettings } from '../../../src/model/settings.js'
import { parseTargetName } from '../../../src/model/target-name.js'
import { MAX_MESSAGE_BYTES } from '../../../src/providers/datagram-provider.js'
import {
  Association,
  type AssociationListener,
  RECORD_OVERHEAD,
} from '../../../src/providers/dtls/association.js'
import type {
  AssociationOptions,
  AssociationRole,
} from '../../../src/providers/dtls/association-options.js'
import { parseClientHello } from '../../../src/providers/dtls/client-hello.js'
import { createCookies } from '../../../src/providers/dtls/cookie.js'
import { ownCookieSecrets } from '../../../src/providers/dtls/cookie-secrets.js'
import { groupRecords } from '../../../src/providers/dtls/flight.js'

export const clock = { now: () => performance.now(), wallTime: () => Date.now() }

/** What happened to one end. */
export interface End {
  readonly association: Association
  secured: number
  closed: number
  failed: (Error & { code?: string })[]
  messages: Buffer[]
  sessions: Buffer[]
  keylog: string[]
  /** Every datagram that it has sent, in order. */
  sent: Buffer[]
  /** Those that nobody has taken yet. */
  waiting: Buffer[]
}

export interface PairOptions {
  readonly client: DatagramSecuritySettings
  readonly server: DatagramSecuritySettings
  /** Whom the server must prove to be, for the client. */
  readonly targetName?: string | undefined
  readonly targetNameSet?: boolean
  /** Whom the client must prove to be, for the server; a stranger where absent. */
  readonly clientName?: string | undefined
  readonly session?: Buffer | undefined
  readonly mtu?: number
  readonly retransmitAfter?: number
}

export interface Pair {
  readonly client: End
  readonly server: End
}

export function createEnd(
  role: AssociationRole,
  settings: DatagramSecuritySettings,
  rest: Partial<AssociationOptions> = {},
): End {
  const association = new Association({
    settings: parseSettings(settings, 'datagram'),
    role,
    peer: role === 'client' ? '127.0.0.1:5684' : '127.0.0.1:40000',
    targetNameSet: false,
    mtu: 1200,
    clock,
    ...rest,
  })
  const end: End = {
    association,
    secured: 0,
    closed: 0,
    failed: [],
    messages: [],
    sessions: [],
    keylog: [],
    sent: [],
    waiting: [],
  }
  association.listener = {
    onDatagram(datagram) {
      end.sent.push(datagram)
      end.waiting.push(datagram)
    },
    onMessage: message => end.messages.push(message),
    onSecured() {
      end.secured += 1
    },
    onClosed() {
      end.closed += 1
    },
    onFailed: error => end.failed.push(error),
    onSession: session => end.sessions.push(session),
    onKeylog: line => end.keylog.push(line.toString()),
  }
  return end
}

/** Tells this listener too, after the one that was there. */
export function alsoTell(
  association: Association,
  event: keyof AssociationListener,
  listener: (told: never) => void,
): void {
  const before = association.listener as AssociationListener
  association.listener = {
    ...before,
    [event](told: never) {
      before[event](told)
      listener(told)
    },
  }
}

/** The two ends, the cookie exchanged and the server begun; no answer has been delivered. */
export function createPair(options: PairOptions): Pair {
  const { targetName, clientName, session, mtu = 1200, retransmitAfter } = options
  const client = createEnd('client', options.client, {
    targetName: targetName === undefined ? undefined : parseTargetName(targetName),
    targetNameSet: options.targetNameSet ?? targetName !== undefined,
    session,
    mtu,
    retransmitAfter,
  })
  const server = createEnd('server', options.server, {
    targetName: clientName === undefined ? undefined : parseTargetName(clientName),
    targetNameSet: clientName !== undefined,
    mtu,
    retransmitAfter,
  })
  client.association.start()
  const verified = exchangeCookie(client)
  const [first] = verified
  if (first !== undefined) server.association.start(first)
  for (const fragment of verified.slice(1)) server.association.receive(fragment)
  return { client, server }
}

/** After the header of the record: type 1, length 3 (RFC 6347, section 4.2.2). */
const messageSequenceAt = 13 + 1 + 3
const cookies = createCookies(ownCookieSecrets(() => performance.now()))
const address = Buffer.from([127, 0, 0, 1])

/** Answers the first ClientHello with a HelloVerifyRequest; gives the records of the second. */
export function exchangeCookie(client: End): Buffer[] {
  const [first] = client.waiting.splice(0)
  const hello = first && parseClientHello(first)
  if (hello === undefined) throw new Error('no ClientHello')
  client.association.receive(cookies.request(hello, address, 40000))
  // On a busy machine the first one can have been sent again before, in the same datagram.
  const records = groupRecords(Buffer.concat(client.waiting.splice(0)), 1)
  return records.filter(record => record.readUInt16BE(messageSequenceAt) === 1)
}

/** Delivers until nobody has anything to say. */
export function deliver({ client, server }: Pair): void {
  for (;;) {
    const [to, datagram] =
      server.waiting.length > 0
        ? [client, server.waiting.shift()]
        : [server, client.waiting.shift()]
    if (datagram === undefined) return
    to.association.receive(datagram)
  }
}

/** A whole handshake, as far as it goes. */
export function handshake(options: PairOptions): Pair {
  const pair = createPair(options)
  deliver(pair)
  return pair
}

/** One end says something to the other. */
export function say(from: End, to: End, text: string): string | undefined {
  const before = to.messages.length
  to.association.receive(protect(from.association, Buffer.from(text)))
  return to.messages[before]?.toString()
}

/** The record of a message, in memory of its own. */
export function protect(association: Association, message: Buffer): Buffer {
  const slot = { arena, offset: 0 }
  return Buffer.from(arena.bytes.subarray(0, association.send(message, slot)))
}

const arena = createArena(MAX_MESSAGE_BYTES + RECORD_OVERHEAD)
