/** One policy serves every protocol: of what it sets, each takes what it knows. */

/** What IPsec knows; the rest is TLS's, and an error beside IPsec. */
const ofIpsec: ReadonlySet<string> = new Set([
  'protocol',
  'ipsec',
  'guaranteeEncryption',
  'handshakeTimeout',
  'maxSessions',
  'maxSessionsPerHost',
  'idleTimeout',
  'maxQueuedDatagrams',
  'maxQueuedBytes',
])

/**
 * The settings of the policy that its protocol knows.
 * @param asked the protocol that the application asks for
 */
export function ofProtocol(
  settings: Readonly<Record<string, unknown>>,
  asked?: string,
): Readonly<Record<string, unknown>> {
  const protocol = asked === undefined || asked === 'default' ? settings.protocol : asked
  const known = (key: string) => (protocol === 'ipsec' ? ofIpsec.has(key) : key !== 'ipsec')
  return Object.fromEntries(Object.entries(settings).filter(([key]) => known(key)))
}
