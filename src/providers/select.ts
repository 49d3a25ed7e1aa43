/** Which provider secures a stream with these settings. */
import { SocketSecurityError } from '../model/errors.js'
import type { ParsedSettings } from '../model/settings.js'
import type { NativeProvider, StreamProvider } from './provider.js'
import { tlsProvider } from './tls/tls-provider.js'

let ipsec: NativeProvider | null = null

/**
 * The provider of these settings.
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE
 */
export function streamProvider(settings: ParsedSettings): StreamProvider {
  if (settings.protocol === 'tls') return tlsProvider
  if (ipsec) return ipsec
  throw new SocketSecurityError(
    'ERR_PROVIDER_UNAVAILABLE',
    `there is no IPsec provider for ${process.platform} in this version: use protocol 'default' or 'tls'`,
    { syscall: 'WSASetSocketSecurity' },
  )
}

/** Gives `protocol: 'ipsec'` its provider, null takes it away. */
export function setIpsecProvider(provider: NativeProvider | null): void {
  ipsec = provider
}
