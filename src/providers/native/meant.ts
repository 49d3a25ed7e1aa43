/** Whom a message is for, and whom the peer has been made to prove to be (R20). */
import { isIP } from 'node:net'
import type { ParsedSettings } from '../../model/settings.js'
import { parseHostTargetName } from '../../model/target-name.js'
import { otherName } from './errors.js'

/** How the application and the peer came to know each other. */
export interface Acquaintance {
  /** What the application called the peer when it was secured; undefined where it had spoken first. */
  readonly called: string | undefined
  /** It is held to a name that the application has set. */
  readonly isNamed: boolean
}

/**
 * Why a message is not for this peer; undefined where it is. A message to a name goes only to a peer
 * that has proved that name, and the system can have a peer prove one. An address means the peer that
 * is there: once the application has had a message of it.
 * @param peer as `address:port`
 * @param host what the application called the destination of the message
 */
export function notMeant(
  peer: string,
  host: string,
  { called, isNamed }: Acquaintance,
  { ipsec }: ParsedSettings,
): Error | undefined {
  if (isNamed || host === called || isIP(host) !== 0) return undefined
  if (ipsec?.optionalPeerNameVerification) return undefined
  try {
    const { text } = parseHostTargetName(host)
    if (called !== undefined && parseHostTargetName(called).text === text) return undefined
  } catch (error) {
    return error as Error
  }
  return otherName(peer, called, host)
}
