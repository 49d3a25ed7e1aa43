import { setTimeout as pause } from 'node:timers/promises'
import { watchLoop } from './loop-delay.mjs'
import { makeSubject } from './subjects.mjs'
import { timed } from './timed.mjs'

/** Datagrams that are sent in one turn of the event loop. */
const burst = 32
/** Until the receiver has read what it had not read yet. */
const rest = 100

/** Sends for so many milliseconds as fast as it can, whatever becomes of it. */
export async function flood(task, ask) {
  const client = await makeSubject(task).dial(await ask('offer'))

  return async function work({ duration, size }) {
    const message = Buffer.alloc(size, 'near')
    await ask('watch')
    const loop = watchLoop()
    let sent = 0
    const send = await timed(
      () =>
        new Promise(resolve => {
          const end = performance.now() + duration
          setImmediate(function more() {
            for (let i = 0; i < burst; i++) client.send(message)
            sent += burst
            if (performance.now() < end) setImmediate(more)
            else resolve()
          })
        }),
    )
    const late = loop.stop()
    await pause(rest)
    const far = await ask('watched')
    return { sent, send, late, received: far.received, receiverLate: far.late }
  }
}
