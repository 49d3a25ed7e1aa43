import type { Socket } from 'node:net'
import type { Terminal } from '../command.js'
import type { Events } from './events.js'

/**
 * Carries stdin to a stream and the stream to stdout, until both directions have ended. Each ends by
 * itself: who reads until we end can still answer, and who has nothing to say can still listen.
 * @param idle milliseconds without a byte in either direction, after which it fails
 * @throws (rejects) what ended it before
 */
export function exchange(
  socket: Socket,
  { stdin, stdout }: Terminal,
  events: Events,
  idle: number | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: Error | undefined
    const fail = (error: Error) => {
      failure ??= error
      socket.destroy()
    }
    const unreadable = (error: Error) => fail(new Error(`stdin: ${error.message}`))
    const unwritable = (error: Error) => fail(new Error(`stdout: ${error.message}`))
    const cut = () => {
      if (!stdin.readableEnded) fail(new Error('stdin: it was closed before its end'))
    }
    stdin.on('error', unreadable)
    stdin.on('close', cut)
    stdout.on('error', unwritable)
    socket.on('error', fail)
    socket.on('end', () => {
      if (stdin.isTTY && !stdin.readableEnded)
        events.note('the peer has ended; end your input (Ctrl-D) to end')
    })
    socket.on('close', () => {
      stdin.off('error', unreadable)
      stdin.off('close', cut)
      stdout.off('error', unwritable)
      if (failure) reject(failure)
      else resolve()
    })
    if (idle !== undefined)
      socket.setTimeout(idle, () => fail(new Error(`nothing came or went for ${idle / 1000} s`)))
    socket.pipe(stdout, { end: false })
    if (stdin.readableEnded || stdin.destroyed) socket.end()
    else stdin.pipe(socket)
  })
}
