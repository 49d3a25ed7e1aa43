/**
 * The server's side of native mode: what a listening socket has accepted is shown to the
 * application once the system has said what secures it.
 */
import type { Socket } from 'node:net'
import { SocketSecurityError } from '../../model/errors.js'
import { unsupportedFamily } from '../../model/lifecycle.js'
import { peerText } from '../../model/peer-text.js'
import type { ParsedSettings } from '../../model/settings.js'
import { nativeTimeout } from '../../providers/native/verification.js'
import type { AcceptObserver, Acceptor, NativeProvider } from '../../providers/provider.js'
import { internals } from '../net-internals.js'
import { beforeClose } from './before-close.js'
import { verified } from './connection.js'
import { guardWrites } from './guarded-writes.js'

/** Verifies what a listening socket of the provider's accepts. */
export function createNativeAcceptor(
  provider: NativeProvider,
  settings: ParsedSettings,
  observer: AcceptObserver,
): Acceptor {
  return { accept }

  function accept(raw: Socket): void {
    let pending = true
    let deadline: NodeJS.Timeout | undefined
    const handle = internals(raw)._handle as Reading | null
    if (typeof handle?.getpeername !== 'function' || typeof handle.readStop !== 'function') {
      refuse(unsupportedFamily('what was accepted'))
      return
    }
    // Nothing is read before the peer is known; net.Socket starts again when it is asked to read.
    handle.readStop()
    handle.reading = false
    const peer = peerText(raw.remoteAddress ?? '', raw.remotePort ?? 0)
    deadline = setTimeout(
      () =>
        refuse(
          nativeTimeout(
            settings,
            'the system did not say what secures the accepted connection',
            peer,
          ),
        ),
      settings.handshakeTimeout,
    )
    raw.on('error', refuse)
    raw.on('close', onClose)
    verify().then(
      connection =>
        process.nextTick(() => {
          if (!pending) return
          done()
          observer.established(raw, connection)
        }),
      error => process.nextTick(refuse, error),
    )

    async function verify() {
      const native = provider.accepted(raw, settings)
      beforeClose(handle as object, native)
      guardWrites(handle as object, native)
      native.onLost?.(error => raw.destroy(error))
      return await verified(native, settings, peer)
    }

    function onClose(): void {
      refuse(closedEarly(peer))
    }

    function refuse(error: Error): void {
      if (!pending) {
        raw.destroy()
        return
      }
      done()
      observer.refused(error, raw)
    }

    function done(): void {
      pending = false
      clearTimeout(deadline)
      raw.off('error', refuse)
      raw.off('close', onClose)
    }
  }
}

/** Node's handle, as far as its reading is concerned. */
interface Reading {
  getpeername?: unknown
  readStop?(): number
  reading: boolean
}

function closedEarly(peer: string): Error {
  return new SocketSecurityError(
    'ECONNRESET',
    `${peer} was gone before the system had said what secures its connection`,
    { peer },
  )
}
