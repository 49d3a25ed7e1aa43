/**
 * A server that can accept nobody is silent to everybody. A client with a port and a certificate of
 * its own looks the same until a stranger comes, so it is said then, once.
 */
let warned = false

export function warnOfSilence(error: Error & { code?: string }): void {
  if (warned || error.code !== 'ENOCREDENTIAL') return
  warned = true
  process.emitWarning(`a datagram socket is silent to all strangers: ${error.message}`)
}
