/** The socket that a server listens on, where it is not net.Server that makes it. */
import { SocketSecurityError } from '../../model/errors.js'
import type { ParsedSettings } from '../../model/settings.js'
import { nativeTimeout } from '../../providers/native/verification.js'
import type {
  NativeDescriptor,
  NativeListenRequest,
  NativeProvider,
} from '../../providers/provider.js'
import { streamProvider } from '../../providers/select.js'
import { exclusiveSocket } from '../../providers/winsock/exclusive-socket.js'

/** Makes a socket to listen on; at once, or later. */
export type Open = (where: ListenAddress, signal: AbortSignal, done: Opened) => void
export type ListenAddress = Pick<NativeListenRequest, 'family' | 'address' | 'port' | 'ipv6Only'>
export type Opened = (error: Error | null, descriptor?: NativeDescriptor) => void

/**
 * A socket that the system secures; and on Windows one that nobody else can bind to, whatever
 * secures it (R9). Null: net.Server makes its own.
 */
export function ownSocket(settings: ParsedSettings): Open | null {
  const provider = streamProvider(settings)
  if (provider.mode === 'native') return openNativeListener(provider, settings)
  if (process.platform !== 'win32' || settings.sharePort) return null
  return ({ family }, _signal, done) => {
    let socket: NativeDescriptor
    try {
      socket = exclusiveSocket('stream', family)
    } catch (error) {
      done(notExclusive(error as Error))
      return
    }
    done(null, socket)
  }
}

/** The provider's, prepared in time or not at all. */
function openNativeListener(provider: NativeProvider, settings: ParsedSettings): Open {
  return (where, signal, done) => {
    const timer = setTimeout(
      settle,
      settings.handshakeTimeout,
      nativeTimeout(settings, 'the system did not secure a socket to listen on'),
    )
    let pending = true
    signal.addEventListener('abort', () => settle(new Error('given up')))
    const opening = (async () => provider.openListener({ ...where, settings, signal }))()
    opening.then(
      descriptor => process.nextTick(settle, null, descriptor),
      error => process.nextTick(settle, error),
    )

    function settle(error: Error | null, descriptor?: NativeDescriptor): void {
      if (!pending) {
        descriptor?.discard()
        return
      }
      pending = false
      clearTimeout(timer)
      done(error, descriptor)
    }
  }
}

/** tls itself needs no native code, so that it is missing may be on purpose. */
function notExclusive(cause: Error & { code?: string }): Error {
  if (cause.code !== 'ERR_PROVIDER_UNAVAILABLE') return cause
  return new SocketSecurityError(
    'ERR_PROVIDER_UNAVAILABLE',
    `on Windows another program can take the port of a server, unless native code forbids it; set security.sharePort to take that risk. ${cause.message}`,
    { syscall: 'setsockopt', cause },
  )
}
