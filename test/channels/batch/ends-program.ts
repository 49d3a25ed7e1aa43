/**
 * Threads with a batch channel that end while it is in some state: `ends-program` says `ended STATE`
 * for each, and dies where one of them takes the process with it.
 */
import dgram from 'node:dgram'
import { readdirSync } from 'node:fs'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { BatchChannel } from '../../../src/channels/batch/batch-channel.js'
import type { ChannelObserver } from '../../../src/channels/channel.js'
import { event } from '../../support/events.js'
import { until } from '../../support/until.js'
import { adopted, LOOPBACK } from './sockets.js'

const states = {
  'made, but not started': channel => {
    channel.started = false
  },
  idle: () => {},
  reading: channel => {
    channel.flooded = true
  },
  'reading slowly': channel => {
    channel.flooded = true
    channel.received = () => {
      const end = performance.now() + 1
      while (performance.now() < end);
      return true
    }
  },
  'reading and answering': channel => {
    channel.flooded = true
    channel.received = (datagrams, _segment, address, port) => {
      channel.channel?.send(Buffer.from(datagrams), address, port, () => {})
      return true
    }
  },
  'sending to itself': channel => {
    channel.sending = true
  },
  'exiting by itself': channel => {
    channel.flooded = true
    channel.exits = true
  },
  'beginning and ending': channel => {
    channel.flooded = true
    channel.changing = true
  },
} satisfies Record<string, (plan: Plan) => void>

interface Plan {
  started: boolean
  flooded: boolean
  sending: boolean
  changing: boolean
  exits: boolean
  channel: BatchChannel | undefined
  received: ChannelObserver['received']
}

/** What nothing happens in is tried less often. */
const timesOf = ({ flooded, sending }: Plan) => (flooded || sending ? 10 : 3)

if (isMainThread) await main()
else await member(workerData as keyof typeof states)

async function main(): Promise<void> {
  const flooder = dgram.createSocket('udp4').bind(0, LOOPBACK)
  await event(flooder, 'listening')
  // What a thread costs once is not a thing that it leaves.
  await ended('idle', flooder)
  const before = descriptors()
  const [last, ...others] = (Object.keys(states) as (keyof typeof states)[]).reverse()
  for (const state of others) await allEnded(state, flooder)
  await until('every descriptor is closed', () => descriptors() <= before)
  console.log('no descriptor is left')
  // This one opens all the time. A thread that ends between the call that gave it a descriptor and
  // the one that hands it to Node leaves that one; it must do no worse.
  await allEnded(last as keyof typeof states, flooder)
  flooder.close()
}

async function allEnded(state: keyof typeof states, flooder: dgram.Socket): Promise<void> {
  const times = timesOf(planOf(state))
  for (let time = 0; time < times; time += 1) await ended(state, flooder)
  console.log(`ended ${state}`)
}

async function ended(state: keyof typeof states, flooder: dgram.Socket): Promise<void> {
  const worker = new Worker(new URL(import.meta.url), { workerData: state })
  const plan = planOf(state)
  const exited = event(worker, 'exit', 60_000)
  const [port] = (await event(worker, 'message', 60_000)) as [number]
  let over = false
  exited.finally(() => {
    over = true
  })
  const flood = () => {
    if (over) return
    for (let count = 0; count < 20; count += 1) flooder.send('x', port, LOOPBACK)
    setImmediate(flood)
  }
  if (plan.flooded) flood()
  // At any moment of what it does: after so many turns of this loop.
  for (let turns = Math.random() * 40; turns > 0; turns -= 1) {
    await new Promise(resolve => setImmediate(resolve))
  }
  if (!plan.exits) worker.terminate()
  await exited
}

function planOf(state: keyof typeof states): Plan {
  const plan: Plan = {
    started: true,
    flooded: false,
    sending: false,
    changing: false,
    exits: false,
    channel: undefined,
    received: () => true,
  }
  ;(states[state] as (plan: Plan) => void)(plan)
  return plan
}

async function member(state: keyof typeof states): Promise<void> {
  const plan = planOf(state)
  const { descriptor, port } = await adopted({ teardown: () => {} })
  let channel = open()
  parentPort?.postMessage(port)
  if (plan.exits) setTimeout(() => process.exit(), Math.random() * 10)
  if (plan.changing) change()
  if (plan.sending) send()

  function open(): BatchChannel {
    const made = new BatchChannel(descriptor, 4, {
      received: plan.received,
      failed: () => {},
      drained: () => {},
    })
    if (plan.started) made.start()
    plan.channel = made
    return made
  }
  function change(): void {
    channel.close()
    channel = open()
    setImmediate(change)
  }
  function send(): void {
    for (let count = 0; count < 50; count += 1)
      channel.send(Buffer.alloc(30_000), LOOPBACK, port, () => {})
    setImmediate(send)
  }
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}
