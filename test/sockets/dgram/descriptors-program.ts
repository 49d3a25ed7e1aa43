/**
 * Binds a datagram socket while the process has only so many descriptors left, again and again with
 * one more, and tells what came of each: the channel, or the code of the error.
 */
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { SecureDgramSocket } from '../../../src/sockets/secure-dgram-socket.js'

// What is asked and loaded once is not the subject.
const first = new SecureDgramSocket('udp4')
first.bind(0, '127.0.0.1')
await once(first, 'listening')

const outcomes: unknown[] = []
for (let free = 0; free < 6; free += 1) {
  const socket = new SecureDgramSocket({ type: 'udp4' })
  const outcome = new Promise(resolve => {
    socket.on('listening', () => resolve(socket.channel))
    socket.on('error', error => resolve((error as { code?: string }).code))
  })
  const held = takenDescriptors()
  for (const fd of held.splice(0, free)) closeSync(fd)
  socket.bind(0, '127.0.0.1')
  outcomes.push(await outcome)
  for (const fd of held) closeSync(fd)
  await socket[Symbol.asyncDispose]()
}
process.send?.(outcomes)
first.close()

/** All that the process may have. */
function takenDescriptors(): number[] {
  const held: number[] = []
  for (;;) {
    try {
      held.push(openSync('/dev/null', 'r'))
    } catch {
      return held
    }
  }
}
