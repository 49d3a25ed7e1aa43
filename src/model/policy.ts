/**
 * What applies where the application sets nothing. The administrator's policy file will overrule
 * these values here, in one place; until then they are the library's own defaults, the same on
 * every platform, so that two hosts always understand each other.
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

/** Milliseconds after which a peer that says nothing may be spoken to in clear, with allowInsecure (the seed's ndAllowClearTimeoutSeconds). */
export const allowClearTimeout = 10_000

/** Milliseconds after which a peer proves its identity anew instead of resuming (the seed's main mode lifetime, 2 h). */
export const fullHandshakeInterval = 2 * 60 * 60 * 1000
