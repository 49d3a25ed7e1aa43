/** Which provider secures a socket with these settings. */
import { SocketSecurityError } from '../model/errors.js'
import type { ParsedSettings } from '../model/settings.js'
import type { DatagramProvider } from './datagram-provider.js'
import { dtlsProvider } from './dtls/dtls-provider.js'
import type { NativeProvider, StreamProvider } from './provider.js'
import { strongswanDatagramProvider } from './strongswan/datagrams.js'
import { strongswanProvider } from './strongswan/strongswan-provider.js'
import { tlsProvider } from './tls/tls-provider.js'
import { winsockDatagramProvider } from './winsock/datagrams.js'
import { winsockProvider } from './winsock/winsock-provider.js'

let ipsec: NativeProvider | null = null
let ipsecDatagrams: DatagramProvider | null = null

/**
 * The provider of streams with these settings.
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE
 */
export function streamProvider(settings: ParsedSettings): StreamProvider {
  if (settings.protocol === 'tls') return tlsProvider
  if (ipsec) return ipsec
  if (process.platform === 'win32') return windows(winsockProvider)
  if (process.platform === 'linux') return strongswanProvider
  throw noIpsec()
}

/** Of 64 bits: the structures of Winsock are laid out for those, and nobody has seen the others. */
function windows<T>(provider: T): T {
  if (process.arch === 'x64' || process.arch === 'arm64') return provider
  throw new SocketSecurityError(
    'ERR_PROVIDER_UNAVAILABLE',
    `IPsec on Windows needs Node for x64 or arm64, this is ${process.arch}: install that, or use protocol 'default' or 'tls'`,
    { syscall: 'WSASetSocketSecurity' },
  )
}

/**
 * The provider of datagrams with these settings.
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE
 */
export function datagramProvider(settings: ParsedSettings): DatagramProvider {
  if (settings.protocol === 'tls') return dtlsProvider
  if (ipsecDatagrams) return ipsecDatagrams
  if (process.platform === 'win32') return windows(winsockDatagramProvider)
  if (process.platform === 'linux') return strongswanDatagramProvider
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
