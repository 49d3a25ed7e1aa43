/**
 * Writes that go nowhere once nothing secures the connection: Node writes in the very call of the
 * application, before any event could tell that.
 */
import { getSystemErrorMap } from 'node:util'

/** Those of Node's handles (stream_base-inl.h). */
const methods = [
  'writev',
  'writeBuffer',
  'writeAsciiString',
  'writeUtf8String',
  'writeUcs2String',
  'writeLatin1String',
]

/** Asks before each write of the handle. */
export function guardWrites(handle: object, { holds }: { holds?(): boolean }): void {
  if (!holds) return
  for (const name of methods) {
    const original = Reflect.get(handle, name)
    if (typeof original !== 'function') continue
    const value = (...args: unknown[]) =>
      holds() ? Reflect.apply(original, handle, args) : refusal()
    Object.defineProperty(handle, name, { value, configurable: true, writable: true })
  }
}

/** What a handle answers that does not do what it is asked: libuv's number of ECANCELED. */
export function refusal(): number {
  for (const [number, [name]] of getSystemErrorMap()) if (name === 'ECANCELED') return number
  return -1
}
