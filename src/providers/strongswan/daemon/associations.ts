/** What secures flows now, as list-sas says it. */
import { SocketSecurityError, show } from '../../../model/errors.js'
import { peerText } from '../../../model/peer-text.js'
import { covers } from '../host/addresses.js'
import { isIdentity } from '../plans/identities.js'
import type { Association, FiveTuple } from '../plans/plans.js'
import { listOf, type Section, sectionOf, sectionsOf, textOf } from '../vici/section.js'
import type { Link } from './link.js'
import type { ConnectionDescription } from './names.js'
import { flowOf } from './selectors.js'

/** Keys in the kernel, for the packets of `flow`. */
export interface InstalledKeys {
  readonly flow: FiveTuple
  /** The name of the connection that the peer came in by. */
  readonly connection: string
  /** The name of the child. */
  readonly child: string
  /** The peers still talk to each other; else the keys are only not yet gone. */
  readonly lives: boolean
  readonly association: Association
}

/** All of them; of other programs and of the administrator, too. */
export async function listKeys(
  link: Link,
  describe: (connection: string) => ConnectionDescription | undefined,
): Promise<InstalledKeys[]> {
  const found: InstalledKeys[] = []
  await link.stream('list-sas', {}, 'list-sa', event => {
    for (const [name, ike] of sectionsOf(event))
      found.push(...keysOf(name, ike, describe(name)?.remoteId ?? '%any'))
  })
  return found
}

/** Of an IKE association: keys that carry packets now. */
function keysOf(connection: string, ike: Section, demandedId: string): InstalledKeys[] {
  return sectionsOf(sectionOf(ike, 'child-sas')).flatMap(([, child]) => {
    const state = textOf(child, 'state')
    // REKEYING: until the new ones are there. TRANSPORT: what else there is has other selectors.
    if (state !== 'INSTALLED' && state !== 'REKEYING') return []
    if (textOf(child, 'mode') !== 'TRANSPORT' || textOf(child, 'protocol') !== 'ESP') return []
    const flow = flowOf(listOf(child, 'local-ts'), listOf(child, 'remote-ts'))
    const remoteId = textOf(ike, 'remote-id')
    if (flow === undefined || remoteId === undefined) return []
    const name = textOf(child, 'name') ?? ''
    const lives = ['ESTABLISHED', 'REKEYING'].includes(textOf(ike, 'state') ?? '')
    const association = associationOf(demandedId, ike, child)
    return [{ flow, connection, child: name, lives, association }]
  })
}

function associationOf(demandedId: string, ike: Section, child: Section): Association {
  const encryption = textOf(child, 'encr-alg')
  return {
    remoteId: textOf(ike, 'remote-id') ?? '',
    localId: textOf(ike, 'local-id') ?? '',
    demandedId,
    version: `IKEv${textOf(ike, 'version')}`,
    cipher: cipherOf(child),
    encrypted: encryption !== undefined && encryption !== 'NULL' && !/^NULL_/.test(encryption),
    ...timesOf(child),
    spis: { out: textOf(child, 'spi-out') ?? '', in: textOf(child, 'spi-in') ?? '' },
    ikeId: textOf(ike, 'uniqueid') ?? '',
    childId: textOf(child, 'uniqueid') ?? '',
  }
}

type Times = Pick<Association, 'since' | 'rekeyAfter' | 'expires'>

/** As they were told first: the daemon counts in whole seconds from now, so the next answer differs. */
const known = new Map<string, Times>()
const knownLimit = 1000

function timesOf(child: Section): Times {
  const key = ['uniqueid', 'spi-in', 'spi-out'].map(each => textOf(child, each)).join('/')
  const before = known.get(key)
  if (before !== undefined) return before
  const now = Date.now()
  const inSeconds = (count: number) => new Date(now + count * 1000)
  const rekey = seconds(textOf(child, 'rekey-time'))
  const life = seconds(textOf(child, 'life-time'))
  const times = {
    since: inSeconds(-(seconds(textOf(child, 'install-time')) ?? 0)),
    ...(rekey === undefined ? {} : { rekeyAfter: inSeconds(rekey) }),
    ...(life === undefined ? {} : { expires: inSeconds(life) }),
  }
  known.set(key, times)
  if (known.size > knownLimit) known.delete(known.keys().next().value as string)
  return times
}

function cipherOf(child: Section): string {
  const algorithm = (what: 'encr' | 'integ') => {
    const name = textOf(child, `${what}-alg`)
    const size = textOf(child, `${what}-keysize`)
    return name === undefined || size === undefined ? name : `${name}-${size}`
  }
  return [algorithm('encr'), algorithm('integ')].filter(each => each !== undefined).join('/')
}

function seconds(text: string | undefined): number | undefined {
  return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : undefined
}

/**
 * The keys that secure that flow; null where there are none.
 * @param admitted whether a peer may have come in by that connection
 * @throws SocketSecurityError ERR_PEER_NOT_AUTHENTICATED, ERR_PEER_TARGET_NAME_MISMATCH where there
 * are keys with others, too: the kernel may take either
 */
export function associationFor(
  keys: readonly InstalledKeys[],
  flow: FiveTuple,
  admitted: (connection: string) => boolean,
): Association | null {
  const covering = keys.filter(each => covers(each.flow, flow))
  const foreign = covering.find(each => !admitted(each.connection))
  if (foreign !== undefined) throw notAdmitted(flow, foreign)
  const matching = covering.filter(each => each.lives).map(each => each.association)
  const [first] = matching
  if (first === undefined) return null
  // What a certificate with a wildcard has let in is nobody.
  const nobody = matching.find(each => !isIdentity(each.remoteId))
  if (nobody !== undefined) throw nobodyKnown(flow, nobody)
  const other = matching.find(each => each.remoteId !== first.remoteId)
  if (other !== undefined) throw severalPeers(flow, first, other)
  // The ones that were installed last are those that carry what is sent.
  return matching.reduce((one, each) => (each.since >= one.since ? each : one))
}

function notAdmitted(
  flow: FiveTuple,
  { association, connection }: InstalledKeys,
): SocketSecurityError {
  const peer = peerText(flow.remoteAddress, flow.remotePort)
  return new SocketSecurityError(
    'ERR_PEER_NOT_AUTHENTICATED',
    `${peer} has keys as ${show(association.remoteId)} by another connection of strongSwan (${show(connection)}), whose credentials, trust or demands are not those of this socket`,
    { peer },
  )
}

function nobodyKnown(flow: FiveTuple, { remoteId }: Association): SocketSecurityError {
  const peer = peerText(flow.remoteAddress, flow.remotePort)
  return new SocketSecurityError(
    'ERR_PEER_NOT_AUTHENTICATED',
    `${peer} calls itself ${show(remoteId)}, which is the identity of nobody in particular`,
    { peer },
  )
}

function severalPeers(flow: FiveTuple, one: Association, other: Association): SocketSecurityError {
  const peer = peerText(flow.remoteAddress, flow.remotePort)
  return new SocketSecurityError(
    'ERR_PEER_TARGET_NAME_MISMATCH',
    `${peer} is secured with keys of ${show(one.remoteId)} and with keys of ${show(other.remoteId)}: which ones the kernel uses cannot be told`,
    { peer },
  )
}

/** An event child-updown: what has come or gone. */
export function changesOf(event: Section): {
  up: boolean
  changed: { child: string; flow: FiveTuple; remoteId: string }[]
} {
  const up = textOf(event, 'up') === 'yes'
  const changed = sectionsOf(event).flatMap(([, ike]) =>
    sectionsOf(sectionOf(ike, 'child-sas')).flatMap(([, child]) => {
      const flow = flowOf(listOf(child, 'local-ts'), listOf(child, 'remote-ts'))
      const name = textOf(child, 'name') ?? ''
      return flow ? [{ child: name, flow, remoteId: textOf(ike, 'remote-id') ?? '' }] : []
    }),
  )
  return { up, changed }
}
