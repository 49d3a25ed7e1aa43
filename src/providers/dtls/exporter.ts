/** Keys for other uses, made from those of an association (RFC 5705). */
import { isUint8Array } from 'node:util/types'
import type { Pointer } from '../../../lib/memory.js'
import { kindOf, SocketSecurityError, show } from '../../model/errors.js'
import { takeError } from './explain.js'
import { arenaSize, openssl } from './openssl.js'

/**
 * @param context undefined is not the same as an empty one (RFC 5705, section 4)
 * @throws SocketSecurityError EINVAL
 */
export function exportKeys(
  ssl: Pointer,
  length: number,
  label: string,
  context: Uint8Array | undefined,
): Buffer {
  const { lib, arena } = openssl()
  const labelBytes = Buffer.from(label)
  const given: unknown = context ?? new Uint8Array()
  // By its own kind, not by what it says: a length that lies would be OpenSSL's.
  if (!isUint8Array(given)) {
    throw new SocketSecurityError('EINVAL', `the context is ${kindOf(given)}: give a Buffer`)
  }
  const room = arenaSize - labelBytes.length - given.length
  if (!Number.isInteger(length) || length <= 0 || length > room) {
    throw new SocketSecurityError('EINVAL', `cannot export ${show(length)} bytes of keys`)
  }
  const labelAt = length
  const contextAt = labelAt + labelBytes.length
  arena.bytes.set(labelBytes, labelAt)
  arena.bytes.set(given, contextAt)
  const exported = lib.SSL_export_keying_material(
    ssl,
    arena.address,
    length,
    arena.address + labelAt,
    labelBytes.length,
    arena.address + contextAt,
    given.length,
    context === undefined ? 0 : 1,
  )
  if (exported !== 1) {
    const reason = takeError()?.reason
    throw new SocketSecurityError('EINVAL', `OpenSSL cannot export keying material: ${reason}`)
  }
  const copy = Buffer.allocUnsafeSlow(length)
  arena.bytes.copy(copy, 0, 0, length)
  arena.bytes.fill(0, 0, length)
  return copy
}
