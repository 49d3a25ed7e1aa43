/** The rule of every structure's buffer: one that is too small is refused, never cut short (R5). */
import { SocketSecurityError } from '../../../model/errors.js'

/**
 * The first bytes of a buffer, which must be so many.
 * @throws SocketSecurityError EMSGSIZE
 */
export function room(buffer: Buffer, bytes: number, structure: string, syscall: string): Buffer {
  if (buffer.length >= bytes) return buffer.subarray(0, bytes)
  throw new SocketSecurityError(
    'EMSGSIZE',
    `a buffer of ${buffer.length} bytes is too small for ${structure}, which takes ${bytes}`,
    { syscall },
  )
}
