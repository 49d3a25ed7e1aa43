/** Secured datagram sockets of host a, and what the tests of them look for. */
import type { Test } from 'tap'
import { createSocket, type SecureDgramSocket } from '../../src/dgram.js'
import { event } from '../support/events.js'
import { addressOf, type Family, securityOf } from './support/hosts.js'
import { inClear, inWords, type Wire } from './support/wire.js'

/** A secured socket of host a, closed with the test; bound where there is a port. */
export async function socketOf(
  t: Test,
  family: Family = 4,
  proof: 'certificate' | 'psk' = 'certificate',
  port?: number,
): Promise<SecureDgramSocket> {
  const socket = createSocket({ type: `udp${family}`, security: securityOf('a', proof) })
  t.teardown(async () => await socket[Symbol.asyncDispose]())
  if (port !== undefined) {
    socket.bind(port, addressOf('a', family))
    await event(socket, 'listening', 30_000)
  }
  return socket
}

/** Nothing of these ports was in clear on the wire. */
export async function nothingInClear(t: Test, wire: Wire, ...ports: number[]): Promise<void> {
  const packets = await wire.packets()
  for (const port of ports) t.same(inWords(inClear(packets, port)), [], `port ${port}`)
}
