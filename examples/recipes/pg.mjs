// node-postgres over secured sockets: it takes an unconnected socket and connects it. PostgreSQL 17 and
// later answer TLS from the first byte, if the client names their protocol; before an older one, or
// one without TLS, put a hop (hop.mjs).
//
// const pool = securePool({ host: 'db.example.com', database: 'shop', security })

import pg from 'pg'
import { SecureSocket } from 'secure-socket'

/**
 * A pool of node-postgres. Leave `ssl` away: the sockets are secured already, and pg would ask for TLS
 * inside them.
 */
export function securePool({ peerTargetName, security, ...options }) {
  return new pg.Pool({ ...options, stream: secureStream({ peerTargetName, security }) })
}

/**
 * For pg's option `stream`. Without peerTargetName the server must prove to be the host that pg
 * connects to.
 */
export function secureStream({ peerTargetName, security }) {
  return () => new SecureSocket({ peerTargetName, security: { alpn: ['postgresql'], ...security } })
}
