// What is compared. Each has the same two functions: `serve` starts a server, `dial` gives a client
// socket that emits `connected` once it is usable. All of them speak TLS 1.3 with the same
// certificate and trust the same authority; plain net is there to show what TCP alone costs. All set
// noDelay, by a call where tls.connect() ignores the option: after a resumed handshake Nagle's
// algorithm would hold the first byte back for 40 ms.

import { createRequire } from 'node:module'
import net from 'node:net'
import { join } from 'node:path'
import tls from 'node:tls'

const minVersion = 'TLSv1.3'
const host = '127.0.0.1'
const noDelay = true

/**
 * @param {{ subject: string, build?: string, credentials: { cert: string, key: string, ca: string } }} task
 * @param {boolean} resume whether a subject that resumes sessions may do so
 */
export function makeSubject({ subject, build, credentials }, resume) {
  const { cert, key, ca } = credentials
  switch (subject) {
    case 'ours':
    case 'before':
      return ours(createRequire(import.meta.url)(join(build, 'net.cjs')), credentials, resume)
    case 'tls': // as people use it: the options each time
      return {
        connected: 'secureConnect',
        serve: listener => tls.createServer({ cert, key, minVersion, noDelay }, listener),
        dial: port => tls.connect({ host, port, ca, minVersion }).setNoDelay(),
      }
    case 'tls-shared': // one context for all connections, which a user must know of
      return {
        connected: 'secureConnect',
        serve: listener => tls.createServer({ cert, key, minVersion, noDelay }, listener),
        dial: dialWith(tls.createSecureContext({ ca, minVersion })),
      }
    case 'tls-resuming': // and the last session given back, by hand
      return {
        connected: 'secureConnect',
        serve: listener => tls.createServer({ cert, key, minVersion, noDelay }, listener),
        dial: resumingDial(tls.createSecureContext({ ca, minVersion })),
      }
    case 'net':
      return {
        connected: 'connect',
        serve: listener => net.createServer({ noDelay }, listener),
        dial: port => net.connect({ host, port, noDelay }),
      }
  }
  throw new Error(`there is no subject ${subject}`)
}

function ours(face, { cert, key, ca }, resume) {
  let count = 0
  return {
    connected: 'connect',
    serve: listener =>
      face.createServer({ noDelay, security: { cert, key, minVersion } }, listener),
    dial: port => {
      count += 1
      // Sessions belong to a target name, so a new one makes a full handshake.
      const name = resume ? {} : { peerTargetName: `bench${count}/${host}` }
      return face.createConnection({ host, port, noDelay, security: { ca, minVersion }, ...name })
    },
  }
}

function dialWith(secureContext) {
  return port => tls.connect({ host, port, secureContext }).setNoDelay()
}

function resumingDial(secureContext) {
  let session
  return port => {
    const socket = tls.connect({ host, port, secureContext, session }).setNoDelay()
    socket.on('session', ticket => {
      session = ticket
    })
    return socket
  }
}
