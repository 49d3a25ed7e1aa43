import type { SecureDgramSocket } from '../../sockets/secure-dgram-socket.js'
import { onTermination } from '../signals.js'

/** Closed when that is over, whatever came of it, or when the process is told to end. */
export async function untilClosed<T>(socket: SecureDgramSocket, use: () => Promise<T>): Promise<T> {
  const close = () => new Promise<void>(resolve => socket.close(() => resolve()))
  const forget = onTermination(close)
  try {
    return await use()
  } finally {
    forget()
    await close()
  }
}

/** Resolves when it has left, so that no more is read than can be sent. */
export function sent(
  socket: SecureDgramSocket,
  datagram: Buffer,
  to?: { readonly address: string; readonly port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null) => (error ? reject(error) : resolve())
    if (to) socket.send(datagram, to.port, to.address, done)
    else socket.send(datagram, done)
  })
}
