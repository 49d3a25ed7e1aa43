/**
 * What Windows' IPsec can do with our settings and names. It proves who we are by what the system
 * has (a domain account, a certificate in its store), so the settings that a library of our own
 * would need are refused: none is ignored in silence.
 */
import { SocketSecurityError, show } from '../../model/errors.js'
import { linuxIpsecSettings } from '../../model/ipsec-settings.js'
import type { ParsedSettings } from '../../model/settings.js'
import type { TargetName } from '../../model/target-name.js'
import { firstBesideDefaults } from '../native/beside-defaults.js'

/** How a peer proves itself is the system's business, and so is who is trusted. */
const credentials = [
  'cert',
  'key',
  'pfx',
  'passphrase',
  'ca',
  'crl',
  'ownPsk',
  'acceptedPsk',
  'pskIdentityHint',
] as const

/** Settings of TLS and DTLS, which are refused unless they are what they are by default. */
const protocolSettings = [
  'ciphers',
  'minVersion',
  'maxVersion',
  'sigalgs',
  'ecdhCurve',
  'servername',
  'alpn',
  'requestCert',
  'rejectUnauthorized',
  'ticketKeys',
  'keylog',
  'mtu',
  'srtp',
  'resumeAfter',
  'rekeyAfter',
  'rekeyAfterBytes',
  'fullHandshakeAfter',
] as const

/** What the application wrote, where it has another name than the parsed setting. */
const written: Readonly<Record<string, string>> = { ownPsk: 'psk', acceptedPsk: 'psk' }

/**
 * Refuses what Windows' IPsec cannot honour.
 * @throws SocketSecurityError EOPNOTSUPP, naming the setting and what to do
 */
export function checkWinsockSettings(settings: ParsedSettings): void {
  for (const key of credentials) {
    if (settings[key] === undefined) continue
    throw unsupported(
      written[key] ?? key,
      "the system proves who we are and decides whom it trusts: set up a domain account or a certificate in the machine's store, or use protocol 'tls'",
    )
  }
  const given = firstBesideDefaults(settings, protocolSettings)
  if (given !== undefined)
    throw unsupported(
      given,
      "the system's IPsec policy decides how packets are protected: change it there (ipsec.mainModePolicy and ipsec.quickModePolicy name one), or use protocol 'tls'",
    )
  const ofLinux = linuxIpsecSettings.find(each => settings.ipsec?.[each] !== undefined)
  if (ofLinux !== undefined) {
    throw unsupported(`ipsec.${ofLinux}`, 'it is a setting of Linux; leave it out here')
  }
  if (settings.sharePort) {
    throw unsupported('sharePort', 'the system gives a secured socket its port exclusively')
  }
}

function unsupported(key: string, remedy: string): SocketSecurityError {
  return new SocketSecurityError(
    'EOPNOTSUPP',
    `security.${key} cannot be used with protocol 'ipsec' on Windows: ${remedy}`,
    { syscall: 'WSASetSocketSecurity' },
  )
}

/**
 * The text that names a peer to Windows: a service principal name (`host/` and the host, where no
 * service is named), or what was written where the settings ask for the raw format.
 * @param set the application has set the name itself, it is not the host's
 * @returns null where no name is to be set
 * @throws SocketSecurityError EINVAL for a name that IPsec cannot prove, or need not (R20)
 */
export function winsockPeerName(
  name: TargetName,
  set: boolean,
  settings: ParsedSettings,
): string | null {
  const { optionalPeerNameVerification = false, rawPeerName = false } = settings.ipsec ?? {}
  if (optionalPeerNameVerification) {
    if (!set) return null
    throw refused(
      name,
      'with ipsec.optionalPeerNameVerification the peer need not prove it; leave one of the two out',
    )
  }
  if (rawPeerName !== (name.kind === 'raw')) {
    throw refused(
      name,
      rawPeerName
        ? 'with ipsec.rawPeerName a name must be set, and set after the settings'
        : 'it was set in raw format; set the settings with ipsec.rawPeerName before it',
    )
  }
  switch (name.kind) {
    case 'spn':
    case 'raw':
      return name.text
    case 'dns':
      return `host/${name.host}`
    case 'ip':
      return `host/${name.address.includes(':') ? `[${name.address}]` : name.address}`
    case 'pin':
    case 'uri':
      throw refused(
        name,
        'IPsec on Windows proves the names of accounts; give a service principal name such as host/db.example.com, or the form of your authentication method with ipsec.rawPeerName',
      )
  }
}

function refused(name: TargetName, why: string): SocketSecurityError {
  return new SocketSecurityError(
    'EINVAL',
    `the peer target name ${show(name.text)} cannot be used: ${why}`,
    { syscall: 'WSASetSocketPeerTargetName' },
  )
}
