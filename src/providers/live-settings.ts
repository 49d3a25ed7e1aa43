/**
 * What a provider makes of settings that change while it runs: certificates and trust that come from
 * files, or a policy that was read again.
 */
import { SocketSecurityError } from '../model/errors.js'
import { fingerprintOf } from '../model/fingerprint.js'
import type { ParsedSettings } from '../model/settings.js'

/**
 * What is made of the settings as they are now; the same until others take their place. New
 * credentials that cannot be used leave those before in place, which is said once.
 * @param current cheap, and the same object until something has changed
 * @param make throws where the settings cannot be used
 * @returns throws what `current` does, and what `make` does where more than credentials has changed:
 * whoever demands more security must not get what was there before
 * @throws what `make` says of the settings as they are now
 */
export function following<T>(
  current: () => ParsedSettings,
  make: (settings: ParsedSettings, before: T | undefined) => T,
): () => T {
  let settings = current()
  let made = make(settings, undefined)
  let refused: ParsedSettings | undefined
  return () => {
    const now = current()
    if (now === settings || now === refused) return made
    if (now.protocol !== settings.protocol) throw anotherProtocol(settings, now)
    try {
      made = make(now, made)
      settings = now
      refused = undefined
    } catch (error) {
      if (restOf(now) !== restOf(settings)) throw error
      refused = now
      process.emitWarning(
        `new credentials cannot be used, and those before stay in use: ${(error as Error).message}`,
        { code: 'SECURE_SOCKET_CREDENTIALS_REFUSED' },
      )
    }
    return made
  }
}

/** What listens or is bound is of the one, and must not secure anything by the rules of the other. */
function anotherProtocol(before: ParsedSettings, now: ParsedSettings): Error {
  return new SocketSecurityError(
    'ERR_POLICY_FORBIDS',
    `the policy says '${now.protocol}' now, and this socket was made for '${before.protocol}': close it, and make it anew`,
    { syscall: 'WSASetSocketSecurity' },
  )
}

/** What is no credential. */
function restOf(settings: ParsedSettings): string {
  const {
    fingerprint: _,
    cert,
    key,
    pfx,
    passphrase,
    ca,
    crl,
    ownPsk,
    acceptedPsk,
    ticketKeys,
    ...rest
  } = settings
  const given = { cert, key, pfx, passphrase, ca, crl, ownPsk, acceptedPsk, ticketKeys }
  const present = Object.entries(given).filter(([, value]) => value !== undefined)
  return fingerprintOf({ ...rest, present: present.map(([name]) => name) })
}
