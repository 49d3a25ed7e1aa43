/** Why a peer of a native datagram socket is not secured, in words. */
import { SocketSecurityError, show } from '../../model/errors.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { ParsedSettings } from '../../model/settings.js'
import { lacking } from './verification.js'

/** What an attempt to have a peer secured waits for. */
export type AttemptStep = 'name' | 'secure' | 'send' | 'query' | 'pause'

/** R14: why what the system says is not enough; undefined where it is. */
export function insufficiency(
  info: SecurityInfo,
  peer: string,
  settings: ParsedSettings,
): SocketSecurityError | undefined {
  const lacks = lacking(info, settings)
  if (lacks === undefined) return undefined
  if (lacks === 'security') {
    const { ipsec } = info
    const why = ipsec?.negotiationError ? ` (its error ${ipsec.negotiationError})` : ''
    return new SocketSecurityError(
      'EPROTO',
      `the system says that ${peer} is not secured${why}: nothing more is sent to it, and nothing delivered from it; let both machines have an IPsec policy that they can agree on`,
      { peer },
    )
  }
  return new SocketSecurityError(
    'EPROTO',
    `the system secures ${peer} without encrypting: let the IPsec policies of both machines encrypt, or set guaranteeEncryption: false`,
    { peer },
  )
}

/** @param unreachable an ICMP error that came meanwhile: perhaps why the peer does not answer */
export function tooLate(
  step: AttemptStep,
  peer: string,
  { handshakeTimeout }: ParsedSettings,
  unreachable: Error | undefined,
): SocketSecurityError {
  const hint = unreachable ? ` (a hint: ${unreachable.message})` : ''
  const late = `within ${handshakeTimeout} ms${hint}`
  switch (step) {
    case 'name':
      return new SocketSecurityError(
        'ETIMEDOUT',
        `the system did not take the target name of ${peer} ${late}: nothing was sent`,
        { peer, syscall: 'WSASetSocketPeerTargetName' },
      )
    case 'secure':
      return new SocketSecurityError(
        'ETIMEDOUT',
        `${peer} was not secured ${late}: nothing was sent`,
        { peer },
      )
    case 'send':
      return new SocketSecurityError(
        'ETIMEDOUT',
        `the first datagram to ${peer} did not leave ${late}`,
        { peer },
      )
    case 'query':
      return new SocketSecurityError(
        'ETIMEDOUT',
        `the system did not say ${late} whether ${peer} is secured`,
        { peer, syscall: 'WSAQuerySocketSecurity' },
      )
    case 'pause':
      return new SocketSecurityError('EPROTO', `${peer} was not secured ${late}`, { peer })
  }
}

/**
 * The system has dropped a message instead of letting it leave in clear.
 * @param cause what it said
 */
export function noLongerSecured(peer: string, cause: Error): SocketSecurityError {
  return new SocketSecurityError(
    'ECONNRESET',
    `nothing secures ${peer} any longer: this message was not sent, and the next one secures the peer anew`,
    { peer, cause },
  )
}

/**
 * A message is for somebody else than the peer at that address has been made to prove (R20).
 * @param called what the application called the peer; undefined where the peer has spoken first
 */
export function otherName(
  peer: string,
  called: string | undefined,
  host: string,
): SocketSecurityError {
  const proved = called === undefined ? 'has spoken first and proved no name' : `is ${show(called)}`
  return new SocketSecurityError(
    'ERR_PEER_TARGET_NAME_MISMATCH',
    `the peer ${peer} ${proved}, and the message is for ${show(host)}: set the target name before the first message to it, or use another socket`,
    { peer },
  )
}
