/** Acts as the peer of a socket, by both ways, and looks whom the thread acts as, before and after. */
import {
  ERROR_NO_TOKEN,
  impersonateLoggedOnUser,
  lookupAccountSid,
  openThreadToken,
  requireAdvapi32,
  revertToSelf,
  TOKEN_DUPLICATE,
  TOKEN_IMPERSONATE,
  TOKEN_QUERY,
  tokenUser,
} from '../../lib/advapi32.js'
import { closeHandle } from '../../lib/kernel32.js'
import {
  requireSecureSocketExtensions,
  WSAImpersonateSocketPeer,
  WSARevertImpersonation,
} from '../../lib/winsock.js'
import { query } from './calls.js'
import { named } from './report.js'
import { type Address, queryTemplate, sizes, socketAddress } from './variants.js'

export interface Impersonation {
  /** WSAImpersonateSocketPeer has made this thread act by a token. */
  readonly direct: boolean
  /** A token of WSAQuerySocketSecurity has. */
  readonly byToken: boolean
  /** After each of them the thread acted as its process again. */
  readonly reverted: boolean
  readonly steps: Readonly<Record<string, string>>
}

/** @param names whether the account may be told */
export async function actAsPeer(
  socket: number,
  peer: Address | undefined,
  names: boolean,
): Promise<Impersonation> {
  // Nothing is to be loaded while the thread acts as somebody else.
  requireAdvapi32()
  requireSecureSocketExtensions()
  const steps: Record<string, string> = {}
  const accounts: [string, Buffer | null][] = []

  const address = peer ? socketAddress(peer) : null
  const direct = actAndRevert(
    () => WSAImpersonateSocketPeer(socket, address),
    WSARevertImpersonation,
  )
  note('WSAImpersonateSocketPeer', direct)

  const access = TOKEN_QUERY | TOKEN_IMPERSONATE | TOKEN_DUPLICATE
  const template = queryTemplate('DEFAULT', { tokenAccess: access, ...(peer ? { peer } : {}) })
  const asked = await query(socket, template, sizes.QUERY_INFO)
  const { userToken: user = 0, machineToken: machine = 0 } = asked.info ?? {}
  steps['query with tokens'] = asked.info
    ? [user ? 'a user' : '', machine ? 'a machine' : ''].filter(Boolean).join(', ') || 'no tokens'
    : named(asked.error)
  let byToken = false
  let reverted = direct.reverted
  for (const [whose, token] of Object.entries({ user, machine })) {
    if (token === 0) continue
    const acted = actAndRevert(() => impersonateLoggedOnUser(token), revertToSelf)
    note(`the token of the ${whose}`, acted)
    byToken ||= acted.acts
    reverted &&= acted.reverted
    closeHandle(token)
  }
  if (names) {
    for (const [step, sid] of accounts) {
      const account = sid && (await lookupAccountSid(sid))
      if (account) steps[step] += `, ${account.domain}\\${account.name}`
    }
  }
  return { direct: direct.acts, byToken, reverted, steps }

  function note(step: string, { error, acts, who, revertError, reverted }: Acted) {
    accounts.push([step, who])
    const whose = !acts ? 'acts as before' : who ? 'acts as an account' : 'acts as somebody'
    const after = reverted ? 'reverted' : `STILL ACTS SO (${named(revertError)})`
    steps[step] = `${named(error)}; ${whose}; ${after}`
  }
}

interface Acted {
  readonly error: number
  /** The thread acted by a token of its own. */
  readonly acts: boolean
  /** The SID of its user. */
  readonly who: Buffer | null
  readonly revertError: number
  readonly reverted: boolean
}

/** Synchronous from the first to the last: it is the thread that acts. */
function actAndRevert(act: () => number, revert: () => number): Acted {
  const error = act()
  const during = openThreadToken(TOKEN_QUERY)
  const acts = during.error !== ERROR_NO_TOKEN
  const who = during.error === 0 ? tokenUser(during.token) : null
  if (during.error === 0) closeHandle(during.token)
  const revertError = acts ? revert() : 0
  const after = openThreadToken(TOKEN_QUERY)
  if (after.error === 0) closeHandle(after.token)
  return { error, acts, who, revertError, reverted: after.error === ERROR_NO_TOKEN }
}
