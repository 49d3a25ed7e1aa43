import { Duplex, PassThrough } from 'node:stream'
import * as tls from 'node:tls'
import { createIdentity, type Identity } from '../../identity/identity.js'
import { type Finding, reason } from './finding.js'

const NAME = 'localhost'
const TIMEOUT_MS = 10_000

/** Secured streams: both versions of TLS are tried, inside of this process. */
export async function examineTls(): Promise<Finding> {
  const common = { name: 'tls', title: 'streams (tls)' } as const
  const details = { openssl: process.versions.openssl, roots: tls.rootCertificates.length }
  try {
    const identity = await createIdentity({ names: [NAME] })
    const cipher = await handshake(identity, 'TLSv1.3')
    // Peers that have no better are spoken to by it, so its absence is told, and is no failure.
    const hasOlder = await handshake(identity, 'TLSv1.2').then(
      () => true,
      () => false,
    )
    const versions = hasOlder ? ['TLSv1.3', 'TLSv1.2'] : ['TLSv1.3']
    return {
      ...common,
      status: 'works',
      summary: `${versions.join(' and ')}, by OpenSSL ${details.openssl} in Node`,
      details: { ...details, versions, cipher },
    }
  } catch (error) {
    return {
      ...common,
      status: 'fails',
      summary: `a handshake of TLS 1.3 inside of this process fails: ${reason(error)}`,
      remedies: [
        'look at what configures OpenSSL here: OPENSSL_CONF, NODE_OPTIONS (--openssl-config, --tls-max-v1.2, --tls-cipher-list)',
      ],
      details,
    }
  }
}

/** Both ends of a connection; resolves to the suite that they have agreed on. */
async function handshake({ cert, key, ca }: Identity, version: tls.SecureVersion): Promise<string> {
  const [there, back] = [new PassThrough(), new PassThrough()]
  const versions = { minVersion: version, maxVersion: version }
  const server = new tls.TLSSocket(Duplex.from({ readable: there, writable: back }) as never, {
    isServer: true,
    secureContext: tls.createSecureContext({ cert, key, ...versions }),
  })
  const client = tls.connect({
    socket: Duplex.from({ readable: back, writable: there }) as never,
    ca,
    servername: NAME,
    ...versions,
  })
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('it takes too long')), TIMEOUT_MS)
      const settle = (error?: Error) => {
        clearTimeout(timer)
        if (error) reject(error)
        else resolve()
      }
      client.once('secureConnect', () => settle())
      for (const end of [client, server]) end.on('error', settle)
    })
    return client.getCipher().standardName
  } finally {
    client.destroy()
    server.destroy()
  }
}
