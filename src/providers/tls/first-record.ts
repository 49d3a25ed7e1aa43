/** Looks at the first TLS record of a raw connection without taking it away. */
import type { Socket } from 'node:net'
import { handshakeRecord, isContentType } from './content-type.js'
import { patience } from './patience.js'

export interface FirstRecordHandlers {
  /** A whole handshake record, or the beginning of another record of TLS. */
  tls(bytes: Buffer): void
  /** Something that is not TLS. */
  other(): void
  /** Nothing came in time. */
  silence(): void
  /** A beginning of TLS came, and no more of it in time. */
  stalled(): void
  /** The connection ended or failed first. */
  error(error: Error): void
}

const headerLength = 5
/** 2^14 bytes of TLSPlaintext, RFC 8446, section 5.1. */
const recordLimit = headerLength + 2 ** 14

/** Waits for the first record of `raw`, at most so many milliseconds, and calls exactly one handler. */
export function firstRecord(
  raw: Socket,
  milliseconds: number,
  handlers: FirstRecordHandlers,
): void {
  let bytes: Buffer = Buffer.alloc(0)
  const stopTimer = patience(milliseconds, () => {
    // A beginning of TLS is no silence.
    settle(bytes.length === 0 ? handlers.silence : handlers.stalled)
  })
  raw.on('readable', onReadable)
  raw.on('end', onEnd)
  raw.on('close', onEnd)
  raw.on('error', onError)

  function onReadable(): void {
    for (let chunk = raw.read(); chunk !== null; chunk = raw.read())
      bytes = Buffer.concat([bytes, chunk as Buffer])
    if (bytes.length === 0) return
    const isWhole = bytes[0] !== handshakeRecord || bytes.length >= wanted()
    if (!isContentType(bytes[0])) settle(() => handBack(handlers.other))
    else if (isWhole) settle(() => handBack(() => handlers.tls(bytes)))
  }

  /** Only where the connection goes on: bytes cannot be put back after its end. */
  function handBack(handler: () => void): void {
    raw.unshift(bytes)
    handler()
  }

  function wanted(): number {
    return bytes.length < headerLength
      ? headerLength
      : Math.min(headerLength + bytes.readUInt16BE(3), recordLimit)
  }

  function onEnd(): void {
    settle(() =>
      handlers.error(
        Object.assign(new Error('the connection ended before a handshake'), { code: 'ECONNRESET' }),
      ),
    )
  }

  function onError(error: Error): void {
    settle(() => handlers.error(error))
  }

  function settle(handler: () => void): void {
    stopTimer()
    raw.off('readable', onReadable)
    raw.off('end', onEnd)
    raw.off('close', onEnd)
    raw.off('error', onError)
    handler()
  }
}
