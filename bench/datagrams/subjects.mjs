// What is compared. Each has the same two functions: `serve` starts an end that is called, `dial`
// gives one that is ready to send. A listener gets each message, and at the end that is called whom
// to answer.

import dgram from 'node:dgram'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { dialNodeDtlsClient } from './subjects/node-dtls-client.mjs'
import { eachConnected, sockets } from './subjects/sockets.mjs'
import { streams } from './subjects/streams.mjs'
import { werift } from './subjects/werift.mjs'

const require = createRequire(import.meta.url)

/** The suites that all of them have: with certificates, and with a pre-shared key. */
const suite = 'ECDHE-ECDSA-AES128-GCM-SHA256'
const pskSuite = 'PSK-AES128-GCM-SHA256'

/** More than any bench needs, of one host or of all. */
const sessions = 20_000

/**
 * @param {{ subject: string, build?: string, credentials: object, resume?: boolean }} task `resume`:
 *   whether a subject that resumes sessions may do so
 */
export function makeSubject({ subject, build, credentials, resume = true }) {
  switch (subject) {
    case 'dgram':
      return sockets(dgram, { connected: false })
    case 'dgram-connected':
      return sockets(dgram, { connected: true })
    case 'dgram-each':
      return eachConnected(dgram)
    case 'ours':
      return ours(build, { resume, ...serverOnly(credentials) })
    case 'ours-crowd':
      return crowd(build, { resume, ...serverOnly(credentials) })
    case 'ours-batch':
      return ours(build, { channel: 'batch', ...serverOnly(credentials) })
    case 'ours-batch-connected':
      return ours(build, { channel: 'batch', connected: true, ...serverOnly(credentials) })
    case 'ours-portable':
      return ours(build, { channel: 'portable', ...serverOnly(credentials) })
    case 'ours-portable-connected':
      return ours(build, { channel: 'portable', connected: true, ...serverOnly(credentials) })
    case 'ours-mutual':
      return ours(build, { resume, ...mutual(credentials) })
    case 'ours-psk':
      return ours(build, preshared(credentials))
    case 'node-dtls-client':
      return {
        serve: ours(build, preshared(credentials)).serve,
        dial: dialNodeDtlsClient(credentials.psk),
      }
    case 'tls':
      return streams({ resume, ...serverOnly(credentials) })
    case 'tls-mutual':
      return streams({ resume, ...mutual(credentials) })
    case 'werift-dtls':
      return werift(credentials.server)
  }
  throw new Error(`there is no subject ${subject}`)
}

/** Why that build cannot use a channel here. */
export async function channelMissing(build, channel, credentials) {
  try {
    const server = await ours(build, { channel, ...serverOnly(credentials) }).serve(() => {})
    await server.close()
  } catch ({ message }) {
    return message
  }
}

/** Its clients are portable: each takes one descriptor, and not two, of those that a process may have. */
function crowd(build, how) {
  const { serve } = ours(build, how)
  const { dial } = ours(build, { ...how, channel: 'portable' })
  return { serve, dial }
}

function ours(build, { atServer, atClient, ...how }) {
  const limits = { maxSessions: sessions, maxSessionsPerHost: sessions }
  return sockets(require(join(build, 'dgram.cjs')), {
    ...how,
    atServer: { security: { ...atServer, ...limits } },
    atClient: { security: atClient },
  })
}

function serverOnly({ server, ca }) {
  const { cert, key } = server
  return {
    atServer: { cert, key, requestCert: false, ciphers: suite },
    atClient: { ca, ciphers: suite },
  }
}

function mutual({ server, client, ca }) {
  return {
    atServer: { cert: server.cert, key: server.key, ca, requestCert: true, ciphers: suite },
    atClient: { cert: client.cert, key: client.key, ca, ciphers: suite },
  }
}

function preshared({ psk: { identity, key } }) {
  const bytes = Buffer.from(key)
  return {
    atServer: { psk: { [identity]: bytes }, ciphers: pskSuite },
    atClient: { psk: { identity, key: bytes }, ciphers: pskSuite },
  }
}
