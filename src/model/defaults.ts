/**
 * The library's own defaults: what applies where neither the application nor the administrator's policy
 * (`policy/`) sets anything. The same on every platform, so that two hosts always understand each other.
 */
export const defaultPolicy = Object.freeze({
  protocol: 'tls' as const,
  guaranteeEncryption: true,
  allowInsecure: false,
  minVersion: 'TLSv1.2' as const,
  /** milliseconds, from the connected TCP socket to the secured channel */
  handshakeTimeout: 60_000,
  requestCert: false,
  rejectUnauthorized: true,
})

/** The same for datagrams: peers authenticate each other, whichever of them began. */
export const defaultDatagramPolicy = Object.freeze({
  ...defaultPolicy,
  minVersion: 'DTLSv1.2' as const,
  requestCert: true,
})

/** What only datagram sockets have. Bytes and milliseconds. */
export const defaultDatagramSettings = Object.freeze({
  /** what every path of the Internet carries, with room for tunnels (RFC 8085, section 3.2) */
  mtu: 1200,
  maxSessions: 10_000,
  maxSessionsPerHost: 1000,
  srtp: Object.freeze([]),
  /** the seed's saIdleTimeout has both: 5 min, and 1 min where a peer may have failed */
  idleTimeout: 5 * 60 * 1000,
  resumeAfter: 60_000,
  /** the seed's quick mode lifetime: 1 h, 55 GB */
  rekeyAfter: 60 * 60 * 1000,
  rekeyAfterBytes: 55e9,
  /** the seed's main mode lifetime */
  fullHandshakeAfter: 2 * 60 * 60 * 1000,
  maxQueuedDatagrams: 64,
  maxQueuedBytes: 256 * 1024,
})

/** Milliseconds after which a peer that says nothing may be spoken to in clear, with allowInsecure (the seed's ndAllowClearTimeoutSeconds). */
export const allowClearTimeout = 10_000

/** Milliseconds after which a peer proves its identity anew instead of resuming (the seed's main mode lifetime, 2 h). */
export const fullHandshakeInterval = 2 * 60 * 60 * 1000
