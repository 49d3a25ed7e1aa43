/**
 * Who a peer is to Windows: a query's access tokens become accounts. The tokens are handles of the
 * system, and whoever asked for them closes them; here that is done before anything is waited for,
 * so that nothing can keep one open.
 */
import {
  lookupAccountSid,
  TOKEN_DUPLICATE,
  TOKEN_IMPERSONATE,
  TOKEN_QUERY,
  tokenUser,
} from '../../../lib/advapi32.js'
import { closeHandle } from '../../../lib/kernel32.js'
import { shownAsPeer, shownAsSecurity } from '../../model/at-a-glance.js'
import type { PeerIdentity, WindowsAccount } from '../../model/peer-identity.js'
import type { IpsecSecurityInfo, SecurityInfo } from '../../model/security-info.js'
import type { QueryInfo } from './structures/query-info.js'

/** The rights to a peer's token by which its account can be read: what a query is to ask for. */
export const IDENTIFY = TOKEN_QUERY
/** The rights by which a thread can act as the peer. */
export const IMPERSONATE = TOKEN_QUERY | TOKEN_IMPERSONATE | TOKEN_DUPLICATE

/** Milliseconds that the names of accounts may hold up a query; the SIDs are known at once. */
const lookupTimeout = 1000

/**
 * What a query has answered, as the library says it. Closes the tokens in every case.
 * @param info asked with tokenAccess IDENTIFY
 * @param targetName the name that the peer had to prove, where there was one
 */
export async function securityInfo(info: QueryInfo, targetName?: string): Promise<SecurityInfo> {
  const sids = takeTokens(info, (user, machine) => ({
    user: sidOf(user),
    machine: sidOf(machine),
  }))
  const [user, machine] = await Promise.all([account(sids.user), account(sids.machine)])
  const { secured, encrypted } = info
  const peer: PeerIdentity = shownAsPeer({
    ...(targetName === undefined ? {} : { targetName }),
    ...(user ? { user } : {}),
    ...(machine ? { machine } : {}),
    names: [],
  })
  // Who is not secured has proved nothing.
  const known = secured && (targetName !== undefined || user !== null || machine !== null)
  return shownAsSecurity({
    secured,
    encrypted,
    protocol: secured ? 'ipsec' : 'none',
    resumed: false,
    ...(known ? { peer } : {}),
    ipsec: ipsecInfo(info),
  })
}

/** Gives a query's tokens (0: none) to `use`, and closes them when it has returned or thrown. */
export function takeTokens<T>(
  { userToken, machineToken }: Pick<QueryInfo, 'userToken' | 'machineToken'>,
  use: (userToken: number, machineToken: number) => T,
): T {
  try {
    return use(userToken, machineToken)
  } finally {
    for (const token of new Set([userToken, machineToken])) if (token !== 0) closeHandle(token)
  }
}

function ipsecInfo({ impersonated, ipsec2 }: QueryInfo): IpsecSecurityInfo {
  if (!ipsec2) return { impersonated }
  const { mmSaId, qmSaId, negotiationError } = ipsec2
  return {
    impersonated,
    mainModeSaId: String(mmSaId),
    quickModeSaId: String(qmSaId),
    ...(negotiationError === 0 ? {} : { negotiationError }),
  }
}

interface Sid {
  readonly bytes: Buffer
  readonly text: string
}

/** Whose token it is; null for none, and for one that says nobody. */
function sidOf(token: number): Sid | null {
  const bytes = token === 0 ? null : tokenUser(token)
  const text = bytes && sidText(bytes)
  return bytes === null || text === null || text === ANONYMOUS_LOGON ? null : { bytes, text }
}

/** Is it the token of somebody who has not said who it is, or of whom the system does not tell? */
export function saysNobody(token: number): boolean {
  return sidOf(token) === null
}

/** The well-known SID of who has not said who it is. */
const ANONYMOUS_LOGON = 'S-1-5-7'

/**
 * A SID as Windows writes it ([MS-DTYP], section 2.4.2.1): S-1-, the authority, and its parts.
 * @returns null for what is no SID
 */
export function sidText(sid: Buffer): string | null {
  const count = sid[1] ?? 0
  if (sid[0] !== 1 || sid.length !== 8 + count * 4) return null
  const authority = sid.readUIntBE(2, 6)
  const shown =
    authority < 2 ** 32 ? String(authority) : `0x${authority.toString(16).padStart(12, '0')}`
  const parts = Array.from({ length: count }, (_, i) => sid.readUInt32LE(8 + i * 4))
  return ['S', 1, shown, ...parts].join('-')
}

async function account(sid: Sid | null): Promise<WindowsAccount | null> {
  if (sid === null) return null
  const name = await accountName(sid)
  return Object.freeze(name === null ? { sid: sid.text } : { sid: sid.text, name })
}

/** `DOMAIN\name`; null where it is not known in time, or at all. */
function accountName(sid: Sid): Promise<string | null> {
  const known = names.get(sid.text)
  if (known !== undefined) return Promise.resolve(known)
  const looking = lookUp(sid)
  return new Promise(resolve => {
    const timer = setTimeout(() => resolve(null), lookupTimeout)
    void looking.then(name => {
      clearTimeout(timer)
      resolve(name)
    })
  })
}

/** Names that were found, by SID: the latest ones. */
const names = new Map<string, string>()
const maxNames = 256
const lookups = new Map<string, Promise<string | null>>()
let last: Promise<unknown> = Promise.resolve()

/**
 * One after another: a domain controller that does not answer must not take all threads that Node
 * has for files and names.
 */
function lookUp(sid: Sid): Promise<string | null> {
  const pending = lookups.get(sid.text)
  if (pending) return pending
  const looking = last
    .then(() => lookupAccountSid(sid.bytes))
    .catch(() => null)
    .then(found => {
      lookups.delete(sid.text)
      return found && remember(sid.text, found)
    })
  lookups.set(sid.text, looking)
  last = looking
  return looking
}

function remember(sid: string, { domain, name }: { domain: string; name: string }): string {
  const shown = domain === '' ? name : `${domain}\\${name}`
  names.set(sid, shown)
  if (names.size > maxNames) names.delete(names.keys().next().value as string)
  return shown
}
