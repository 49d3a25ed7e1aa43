/** Secured datagram sockets of host a, and what the tests of them look for. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { createSocket, type SecureDgramSocket } from '../../src/dgram.js'
import { event } from '../support/events.js'
import { until } from '../support/until.js'
import { addressOf, type Family, type HostName, securityOf } from './support/hosts.js'
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

const run = promisify(execFile)

/** What swanctl says of that host; the sockets of this program go on meanwhile. */
export async function listed(host: HostName, what: '--list-conns' | '--list-sas'): Promise<string> {
  const { stdout } = await run('on', [host, 'swanctl', what])
  return stdout
}

/** No connection and no association is left in that host's daemon. */
export async function nothingLeft(t: Test, host: HostName): Promise<void> {
  let left = ''
  const isEmpty = async () => {
    left = (await listed(host, '--list-conns')) + (await listed(host, '--list-sas'))
    return left === ''
  }
  await until('all is gone', isEmpty, 30_000).catch(() => t.equal(left, ''))
}
