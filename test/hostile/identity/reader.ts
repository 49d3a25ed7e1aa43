/** Somebody who reads along between two ends, over TCP or UDP, and what they must never get to see. */
import type { Test } from 'tap'
import { udpTap } from '../../support/udp-tap.js'
import { wireTap } from '../../support/wire-tap.js'

/** What each end would say to the right peer. */
export const OUR_SECRET = 'correct horse battery staple'
export const THEIR_SECRET = 'pack my box with jugs'

export interface Reader {
  /** Where the contacted end is to be reached. */
  readonly port: number
  readonly toServer: () => Buffer
  readonly toClient: () => Buffer
}

export type Transport = 'tcp' | 'udp'

/** Stands before the server at that port until the end of the test. */
export async function reader(t: Test, transport: Transport, serverPort: number): Promise<Reader> {
  if (transport === 'tcp') {
    const tap = await wireTap(serverPort)
    t.teardown(() => tap.close())
    return tap
  }
  const tap = await udpTap(serverPort)
  t.teardown(() => tap.close())
  return {
    port: tap.port,
    toServer: () => Buffer.concat(tap.toServer),
    toClient: () => Buffer.concat(tap.toClient),
  }
}

/** They have begun to handshake, and neither has said anything that somebody else could read. */
export function readsNothing(t: Test, reader: Reader): void {
  t.ok(reader.toServer().length > 40, 'there was a ClientHello')
  for (const [where, bytes] of [
    ['to the server', reader.toServer()],
    ['to the client', reader.toClient()],
  ] as const)
    for (const secret of [OUR_SECRET, THEIR_SECRET])
      for (const part of [secret, secret.slice(0, 5), secret.slice(-5)])
        t.notOk(bytes.includes(part), `nothing of it ${where}`)
}

const APPLICATION_DATA = 23

/**
 * Nothing of the application's was sent, in whatever form: before TLS 1.3, where parts of the handshake
 * look like it, the type of every record says what is in it.
 */
export function isWithoutData(t: Test, bytes: Buffer, transport: Transport): void {
  t.notOk(recordTypes(bytes, transport).includes(APPLICATION_DATA), 'we sent no record with data')
}

/** The types of the records of which all these bytes are made. */
export function recordTypes(bytes: Buffer, transport: Transport): number[] {
  const header = transport === 'tcp' ? 5 : 13
  const types: number[] = []
  for (let at = 0; at + header <= bytes.length; ) {
    const type = bytes[at] as number
    if (type < 20 || type > 23) throw new Error(`at ${at} there is no record, but type ${type}`)
    types.push(type)
    at += header + bytes.readUInt16BE(at + header - 2)
  }
  return types
}
