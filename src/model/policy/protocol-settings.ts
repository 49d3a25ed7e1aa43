/** One policy serves every protocol: of what it sets, each takes what it knows. */

/** What IPsec knows everywhere; the rest is TLS's, and an error beside IPsec. */
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
 * What it knows where an IKE daemon takes credentials from us. Those that it cannot take are among
 * them: to leave a list of revocations out in silence would trust more than the administrator does.
 */
const ofDaemon: ReadonlySet<string> = new Set([
  ...ofIpsec,
  'cert',
  'key',
  'pfx',
  'passphrase',
  'ca',
  'crl',
  'psk',
  'rekeyAfter',
  'rekeyAfterBytes',
  'fullHandshakeAfter',
])

/**
 * The settings of the policy that its protocol knows on this system.
 * @param asked the protocol that the application asks for
 */
export function ofProtocol(
  settings: Readonly<Record<string, unknown>>,
  asked?: string,
  platform: string = process.platform,
): Readonly<Record<string, unknown>> {
  const protocol = asked === undefined || asked === 'default' ? settings.protocol : asked
  const ipsec = platform === 'linux' ? ofDaemon : ofIpsec
  const known = (key: string) => (protocol === 'ipsec' ? ipsec.has(key) : key !== 'ipsec')
  return Object.fromEntries(Object.entries(settings).filter(([key]) => known(key)))
}
