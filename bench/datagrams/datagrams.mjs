import { makeFlow, part } from './flow.mjs'
import { makeSubject } from './subjects.mjs'
import { timed } from './timed.mjs'

/** Sends, then receives, `units` datagrams, and times each by itself in this process. */
export async function datagrams(task, ask) {
  const flow = await makeFlow()
  await flow.connect(await ask('flow', flow.port))
  const client = await makeSubject(task).dial(await ask('offer'), flow.count)
  const message = Buffer.alloc(task.size, 'near')

  return async function work(wanted) {
    const units = Math.ceil(wanted / part) * part
    const send = await timed(() => flow.send(units, () => client.send(message)))
    const receive = await timed(() => Promise.all([flow.receive(units), ask('send', units)]))
    return { units, send, receive }
  }
}
