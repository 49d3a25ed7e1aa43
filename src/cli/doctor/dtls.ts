import { performance } from 'node:perf_hooks'
import { loadKoffi } from '../../../lib/koffi.js'
import { PortableChannel } from '../../channels/portable.js'
import { createIdentity } from '../../identity/identity.js'
import type { SecurityInfo } from '../../model/security-info.js'
import { type DatagramSecuritySettings, parseSettings } from '../../model/settings.js'
import { dtlsProvider } from '../../providers/dtls/dtls-provider.js'
import { type Finding, reason } from './finding.js'
import { findSymbols } from './openssl-symbols.js'

const ADDRESS = '127.0.0.1'
const TIMEOUT_MS = 10_000
const TICK_MS = 10

/** Secured datagrams: the library is looked through, then two ends handshake inside of this process. */
export async function examineDtls(): Promise<Finding> {
  const common = { name: 'dtls', title: 'datagrams (dtls)' } as const
  const details: Record<string, unknown> = {}
  try {
    const koffi = loadKoffi()
    details.koffi = koffi.version
    const { version, found, missing } = findSymbols(koffi)
    Object.assign(details, { openssl: version, symbols: found, missing })
    if (missing.length > 0) {
      return {
        ...common,
        status: 'fails',
        summary: `${version} has no ${missing.join(', ')}`,
        remedies: [
          'use a Node of nodejs.org or of your distribution, which exports all of OpenSSL',
        ],
        details,
      }
    }
    const { version: protocol, cipher } = await handshake()
    return {
      ...common,
      status: 'works',
      summary: `${protocol}, by ${version}, through koffi ${koffi.version}`,
      // There is none in OpenSSL 3, and OpenSSL's own name for it would be DTLSv1.3.
      details: { ...details, versions: [protocol], cipher },
    }
  } catch (error) {
    // These errors say themselves what to do.
    return { ...common, status: 'fails', summary: reason(error), details }
  }
}

/** No network is needed for it: what one end gives, the other is handed. */
async function handshake(): Promise<SecurityInfo> {
  const { cert, key, ca } = await createIdentity({ names: [ADDRESS] })
  const under = new Map<number, (datagram: Buffer) => void>()
  let failure: Error | undefined
  const end = (own: number, other: number, settings: DatagramSecuritySettings) => {
    const send = (datagram: Buffer) => {
      // As a network does it: not inside of the call that sends.
      setImmediate(() => under.get(other)?.(datagram))
    }
    const outbox = new PortableChannel(send)
    const parsed = parseSettings(settings, 'datagram')
    const endpoint = dtlsProvider.createEndpoint(
      { current: () => parsed, clock },
      {
        reserve: () => outbox.reserve(),
        commit: (...args) => outbox.commit(...args),
        datagram: send,
        message: () => {},
        secured: () => {},
        peerError: error => {
          failure = error
        },
        peerClosed: () => {},
        keylog: () => {},
      },
    )
    under.set(own, datagram => endpoint.receive(datagram, ADDRESS, other))
    return endpoint
  }
  const server = end(1, 2, { cert, key, ca })
  const client = end(2, 1, { cert, key, ca })
  server.acceptsStrangers = true
  const begin = clock.now()
  let tick: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    // A busy end puts work off, and what was dropped then comes again: both in a tick.
    tick = setInterval(() => {
      for (const each of [client, server]) each.tick()
      if (clock.now() - begin > TIMEOUT_MS)
        reject(failure ?? new Error('a handshake inside of this process takes too long'))
    }, TICK_MS)
  })
  try {
    return await Promise.race([client.secure(ADDRESS, 1, ADDRESS), late])
  } finally {
    clearInterval(tick)
    client.close()
    server.close()
  }
}

const clock = { now: () => performance.now(), wallTime: () => Date.now() }
