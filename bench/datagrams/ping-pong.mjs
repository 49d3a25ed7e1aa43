import { makeSubject } from './subjects.mjs'
import { timed } from './timed.mjs'

/** A message, its answer, the next message: what that takes this process. */
export async function pingPong(task, ask) {
  let onMessage
  const client = await makeSubject(task).dial(await ask('offer'), () => onMessage())

  return async function work({ units, size }) {
    const message = Buffer.alloc(size, 'near')
    let left = units
    const trip = await timed(
      () =>
        new Promise(resolve => {
          onMessage = () => {
            left -= 1
            if (left === 0) resolve()
            else client.send(message)
          }
          client.send(message)
        }),
    )
    return { units, 'round trip': trip }
  }
}
