// What sudpclient and sudpserver share beyond sdkcommon.mjs: how they are secured.

import { describePair, readIdentity } from './sdkcommon.mjs'

export const sudp = describePair('sudp', 'DTLS 1.2 and one cipher suite, nothing else')

/** The security settings of the program that is called `name`. */
export function settings({ adv, identity }, name) {
  const basic = {
    ...readIdentity(sudp, identity, name),
    protocol: 'default',
    guaranteeEncryption: true,
  }
  if (!adv) return basic
  return {
    ...basic,
    protocol: 'tls',
    maxVersion: 'DTLSv1.2',
    ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256',
    handshakeTimeout: 10_000,
  }
}
