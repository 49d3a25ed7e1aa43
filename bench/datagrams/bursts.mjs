import { makeFlow, windowOf } from './flow.mjs'
import { makeSubject } from './subjects.mjs'
import { timed } from './timed.mjs'

/** Sends to one peer, then receives from it, and times each by itself in this process. */
export async function bursts(task, ask) {
  const flow = await makeFlow()
  await flow.connect(await ask('flow', flow.port))
  const client = await makeSubject(task).dial(await ask('offer'), flow.count)

  return async function work({ units, size, burst }) {
    const message = Buffer.alloc(size, 'near')
    const window = windowOf(size)
    await ask('expect', window)
    flow.expect(window)
    const send = await timed(() => flow.send({ units, burst, window }, () => client.send(message)))
    const receive = await timed(() => ask('send', { units, burst, window, size }))
    return { units, send, receive, lost: send.result + receive.result }
  }
}
