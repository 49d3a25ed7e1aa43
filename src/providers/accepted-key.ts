/** The server's look-up of a pre-shared key: whatever goes wrong with it fails one handshake. */
import { kindOf, SocketSecurityError, show } from '../model/errors.js'
import type { ParsedSettings } from '../model/settings.js'
import type { TargetName } from '../model/target-name.js'

/**
 * The key that an identity must know.
 * @param named the name that the application set for this peer: only a key of that name proves it
 * @throws SocketSecurityError why the identity is refused
 */
export function acceptedKey(
  settings: ParsedSettings,
  identity: string,
  named: TargetName | undefined,
  peer: string,
): Uint8Array {
  const { acceptedPsk, ownPsk } = settings
  if (identity === ownPsk?.identity) {
    throw refused(peer, 'it shows us our own pre-shared key identity: it reflects our own messages')
  }
  if (named !== undefined && identity !== named.text) {
    throw new SocketSecurityError(
      'ERR_PEER_TARGET_NAME_MISMATCH',
      `${peer} is not ${named.text}: its pre-shared key is that of ${show(identity)}`,
      { peer },
    )
  }
  let key: unknown
  try {
    key = typeof acceptedPsk === 'function' ? acceptedPsk(identity) : acceptedPsk?.[identity]
  } catch (error) {
    const cause = error instanceof Error ? error : new Error(String(error))
    throw refused(peer, `security.psk threw when it was asked for a key: ${cause.message}`, cause)
  }
  if (key === undefined || key === null) {
    throw refused(peer, `its pre-shared key identity ${show(identity)} is not known here`)
  }
  if (!ArrayBuffer.isView(key) || key.byteLength === 0) {
    const given = typeof (key as { then?: unknown }).then === 'function' ? 'a promise' : kindOf(key)
    throw refused(peer, `security.psk gave ${given} for a key: it must give a Buffer, at once`)
  }
  return new Uint8Array(key.buffer, key.byteOffset, key.byteLength)
}

function refused(peer: string, why: string, cause?: Error): SocketSecurityError {
  return new SocketSecurityError('ERR_PEER_NOT_AUTHENTICATED', `${peer}: ${why}`, { peer, cause })
}
