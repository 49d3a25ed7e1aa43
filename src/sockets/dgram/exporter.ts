/** The arguments of exportKeyingMaterial(). */
import { SocketSecurityError, show } from '../../model/errors.js'

/** Of keying material, in one piece. */
const MAX_EXPORT_BYTES = 65535

/** What OpenSSL is given must be what it is said to be. */
export function exportArguments(
  length: unknown,
  label: unknown,
  context: unknown,
): [length: number, label: string, context: Buffer | undefined] {
  const bytes =
    typeof context === 'string'
      ? Buffer.from(context)
      : ArrayBuffer.isView(context)
        ? Buffer.from(context.buffer, context.byteOffset, context.byteLength)
        : undefined
  const wrong =
    !Number.isInteger(length) || (length as number) < 1 || (length as number) > MAX_EXPORT_BYTES
      ? `length is ${show(length)}: give 1 to ${MAX_EXPORT_BYTES} bytes`
      : typeof label !== 'string' || label === ''
        ? `label is ${show(label)}: give a string`
        : context !== undefined && bytes === undefined
          ? `context is ${show(context)}: give a Buffer or a string`
          : undefined
  if (wrong) throw new SocketSecurityError('EINVAL', `exportKeyingMaterial: ${wrong}`)
  return [length as number, label as string, bytes]
}
