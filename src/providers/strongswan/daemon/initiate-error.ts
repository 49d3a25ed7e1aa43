/** Why a negotiation failed, as an error that says what to do. */
import { SocketSecurityError, type SocketSecurityErrorCode } from '../../../model/errors.js'
import type { ControlLog } from './control-log.js'
import { CommandError, quoted } from './errors.js'

/** Whose negotiation. */
export interface Negotiation {
  /** `address:port` */
  readonly peer: string
  /** The identity that the peer has to prove, as it was given to the daemon. */
  readonly remoteId: string
}

/**
 * The error for a failed `initiate`.
 * @param error what the request was rejected with
 * @param log what the daemon told meanwhile
 */
export function initiateError(
  error: unknown,
  log: ControlLog,
  { peer, remoteId }: Negotiation,
): SocketSecurityError {
  const cause = new Error(`strongSwan's log: ${log.lines.join('; ') || 'nothing'}`, {
    cause: error,
  })
  const refused = error instanceof CommandError
  const { reason, line } = log.reason ?? {}
  const as = remoteId === '%any' ? '' : ` as ${quoted(remoteId)}`
  // Given up by us, or the daemon itself is gone: then that is the reason, whatever was said before.
  if (!refused && !isTimeout(error)) return withPeer(error, peer)
  if (reason !== undefined && line !== undefined) {
    const code = typeof reason.code === 'function' ? reason.code(line) : reason.code
    const message = `${peer}${as}: ${reason.what} (strongSwan: ${line.input?.trim()}): ${reason.remedy}`
    return new SocketSecurityError(code, message, { peer, cause })
  }
  const late = log.heard ? unfinished : unanswered
  const [code, why] = refused ? (byMessage(error.errmsg ?? '') ?? late) : late
  return new SocketSecurityError(code, `${peer}${as}: ${why}`, { peer, cause })
}

type Unexplained = readonly [code: SocketSecurityErrorCode, why: string]

const unanswered: Unexplained = [
  'ETIMEDOUT',
  'no IKE daemon answers at the peer: see that one runs there, and that its UDP ports 500 and 4500 can be reached',
]
const unfinished: Unexplained = [
  'ETIMEDOUT',
  'the negotiation was not completed in time: see the log of strongSwan here and at the peer',
]

/** Where the log tells no reason, what the answer says (vici_control.c); undefined for a time-out. */
function byMessage(errmsg: string): Unexplained | undefined {
  if (/not established after/.test(errmsg)) return undefined
  if (/due to limits/.test(errmsg))
    return ['ENOBUFS', 'strongSwan negotiates with too many peers already: try again later']
  if (/config .* not found/.test(errmsg))
    return [
      'ECONNRESET',
      'somebody has removed the connection from strongSwan (swanctl --load-all removes what is not in its files)',
    ]
  return [
    'EPROTO',
    `the negotiation failed (${quoted(errmsg)}): see the log of strongSwan here and at the peer`,
  ]
}

function isTimeout(error: unknown): boolean {
  return error instanceof SocketSecurityError && error.code === 'ETIMEDOUT'
}

function withPeer(error: unknown, peer: string): SocketSecurityError {
  const known = error instanceof SocketSecurityError
  const message = `${peer}: ${known ? error.message : quoted(String(error))}`
  return new SocketSecurityError(known ? error.code : 'EPROTO', message, { peer, cause: error })
}
