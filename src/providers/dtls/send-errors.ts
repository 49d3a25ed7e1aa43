/**
 * What an error of sending says. An ICMP error is nobody's word: anybody can forge one. Others are
 * this machine's own: no route, no permission.
 */

export type SendErrorKind =
  /** Somebody on the way says that nobody listens there. */
  | 'icmp'
  /** It may go the next time. */
  | 'passing'
  /** It will not go. */
  | 'local'

/** Windows reports an ICMP error as ECONNRESET. */
const icmp = new Set(['ECONNREFUSED', 'ECONNRESET'])
/** EMSGSIZE: flights grow smaller when nothing answers. */
const passing = new Set(['EAGAIN', 'ENOBUFS', 'ENOMEM', 'EINTR', 'EMSGSIZE'])

export function sendErrorKind(error: Error & { code?: string }): SendErrorKind {
  const { code = '' } = error
  if (icmp.has(code)) return 'icmp'
  return passing.has(code) ? 'passing' : 'local'
}
