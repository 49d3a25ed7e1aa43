import { makeFlow, windowOf, windowOfMany } from './flow.mjs'
import { makeSubject } from './subjects.mjs'
import { timed } from './timed.mjs'

/**
 * One socket sends to many peers in turn, then receives from them; each peer has a socket of its own
 * in the other process. In one turn of the event loop there is a datagram for each.
 */
export async function peers(task, ask) {
  const flow = await makeFlow()
  await flow.connect(await ask('flow', flow.port))
  const found = []
  let listener = (_, from) => found.push(from)
  const server = await makeSubject(task).serve((message, from) => listener(message, from))
  const ports = []
  while (ports.length < task.peers) ports.push(await server.offer())
  await ask('dial', ports)
  while (found.length < task.peers) await new Promise(setImmediate)
  listener = flow.count

  return async function work({ units, size }) {
    const message = Buffer.alloc(size, 'near')
    const window = windowOfMany(size, task.peers)
    let next = 0
    await ask('expect', window)
    const send = await timed(() =>
      flow.send({ units, burst: task.peers, window }, () => {
        server.send(message, found[next])
        next = next + 1 === task.peers ? 0 : next + 1
      }),
    )
    // It all comes to one socket.
    const held = windowOf(size)
    const burst = Math.min(task.peers, held / 2)
    flow.expect(held)
    const receive = await timed(() => ask('send', { units, burst, window: held, size }))
    return { units, send, receive, lost: send.result + receive.result }
  }
}
