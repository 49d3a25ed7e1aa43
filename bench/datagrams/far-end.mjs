// The other end, in a process of its own. Every message asks for something and is answered; the first
// is to start, with the task.

import { makeFlow } from './flow.mjs'
import { settled } from './settled.mjs'
import { makeSubject } from './subjects.mjs'

let server
let flow
let peer
let message

const answers = {
  async start(task) {
    if (task.kind === 'datagrams') flow = await makeFlow()
    message = Buffer.alloc(task.size ?? 1, 'far')
    server = await makeSubject(task).serve(flow ? count : echo)
  },
  /** Where the next connection is to go. */
  offer: () => server.offer(),
  /** That connection is over. */
  release: port => server.release(port),
  cpu: () => process.cpuUsage(),
  memory: settled,
  /** The ports of both flows. */
  async flow(port) {
    await flow.connect(port)
    return flow.port
  },
  send: units => flow.send(units, () => server.send(message, peer)),
}

function count(_, from) {
  peer = from
  flow.count()
}

function echo(data, from) {
  server.send(data, from)
}

process.on('message', async ({ id, what, argument }) => {
  process.send({ id, answer: await answers[what](argument) })
})
process.on('disconnect', () => process.exit())
