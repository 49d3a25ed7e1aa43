/** Which provider secures a socket with these settings. */
import { SocketSecurityError } from '../model/errors.js'
import type { ParsedSettings } from '../model/settings.js'
import type { DatagramProvider } from './datagram-provider.js'
import { dtlsProvider } from './dtls/dtls-provider.js'
import type { NativeProvider, StreamProvider } from './provider.js'
import { tlsProvider } from './tls/tls-provider.js'

let ipsec: NativeProvider | null = null
let ipsecDatagrams: DatagramProvider | null = null

/**
 * The provider of streams with these settings.
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE
 */
export function streamProvider(settings: ParsedSettings): StreamProvider {
  if (settings.protocol === 'tls') return tlsProvider
  if (ipsec) return ipsec
  throw noIpsec()
}

/**
 * The provider of datagrams with these settings.
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE
 */
export function datagramProvider(settings: ParsedSettings): DatagramProvider {
  if (settings.protocol === 'tls') return dtlsProvider
  if (ipsecDatagrams) return ipsecDatagrams
  throw noIpsec()
}

function noIpsec(): SocketSecurityError {
  return new SocketSecurityError(
    'ERR_PROVIDER_UNAVAILABLE',
    `there is no IPsec provider for ${process.platform} in this version: use protocol 'default' or 'tls'`,
    { syscall: 'WSASetSocketSecurity' },
  )
}

/** Gives `protocol: 'ipsec'` its provider, null takes it away. */
export function setIpsecProvider(provider: NativeProvider | null): void {
  ipsec = provider
}

/** The same for datagrams. */
export function setIpsecDatagramProvider(provider: DatagramProvider | null): void {
  ipsecDatagrams = provider
}
