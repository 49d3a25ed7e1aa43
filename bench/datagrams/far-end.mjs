// The other end, in a process of its own. Every message asks for something and is answered; the first
// is to start, with the task.

import { makeFlow } from './flow.mjs'
import { watchLoop } from './loop-delay.mjs'
import { settled } from './settled.mjs'
import { makeSubject } from './subjects.mjs'

let task
let server
let flow
let loop
let received = 0
/** What sends to the near end, in turn. */
const senders = []

/** What becomes of a message, by kind of bench; of any other it is the answer to itself. */
const listeners = {
  bursts(_, from) {
    if (senders.length === 0) senders.push(message => server.send(message, from))
    flow.count()
  },
  flood() {
    received += 1
  },
}

const answers = {
  async start(given) {
    task = given
    if (task.kind === 'bursts' || task.kind === 'peers') flow = await makeFlow()
    if (task.kind === 'peers') return
    server = await makeSubject(task).serve(listeners[task.kind] ?? echo)
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
  expect: window => flow.expect(window),
  send({ size, ...how }) {
    const message = Buffer.alloc(size, 'far')
    let next = 0
    return flow.send(how, () => {
      senders[next](message)
      next = next + 1 === senders.length ? 0 : next + 1
    })
  },
  /** Makes a peer for each of these ports of the near end, and lets it say who it is. */
  async dial(ports) {
    const { dial } = makeSubject(task)
    for (const port of ports) {
      const client = await dial(port, flow.count)
      client.send(Buffer.from('!'))
      senders.push(client.send)
    }
  },
  watch() {
    received = 0
    loop = watchLoop()
  },
  watched: () => ({ received, late: loop.stop() }),
}

function echo(data, from) {
  server.send(data, from)
}

process.on('message', async ({ id, what, argument }) => {
  process.send({ id, answer: await answers[what](argument) })
})
process.on('disconnect', () => process.exit())
