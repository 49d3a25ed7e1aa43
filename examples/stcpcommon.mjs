// What stcpclient and stcpserver share beyond sdkcommon.mjs: how they are secured, and how they read.

import { describePair, readIdentity } from './sdkcommon.mjs'

export const stcp = describePair('stcp', 'TLS 1.3 and one cipher suite, nothing else')

/** The security settings of the program that is called `name`. */
export function settings({ adv, identity }, name) {
  const basic = {
    ...readIdentity(stcp, identity, name),
    protocol: 'default',
    guaranteeEncryption: true,
    // Both ends authenticate themselves, or the server could not act as its client.
    requestCert: true,
  }
  if (!adv) return basic
  return {
    ...basic,
    protocol: 'tls',
    minVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_128_GCM_SHA256',
    handshakeTimeout: 10_000,
  }
}

/** Reads until `length` bytes have come, or the peer has closed. The connection stays open. */
export async function receive(socket, length) {
  let received = ''
  for await (const text of socket.setEncoding('latin1').iterator({ destroyOnReturn: false })) {
    received += text
    if (received.length >= length) break
  }
  return received
}
