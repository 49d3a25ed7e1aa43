/**
 * A process or a thread that ends while overlapped calls of ours pend in Winsock: `overlapped-ends
 * HOW`. The process exits, ends by an error, or by itself once the calls were given up; or a worker
 * thread exits or is terminated, and what the calls wait for comes when its JavaScript is gone.
 * Says 'over' last where all went well.
 */
import dgram from 'node:dgram'
import { setTimeout } from 'node:timers/promises'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { overlapped, pendingCalls } from '../../../src/providers/winsock/overlapped.js'
import { bindSocket, createSocket } from '../../../src/providers/winsock/sockets.js'
import { event } from '../../support/events.js'
import { localAddress } from '../local-address.js'
import { receive, target } from '../receiving.js'

const calls = 20
const how = process.argv[2]

if (isMainThread && how === 'workers') {
  for (const end of ['exit', 'terminate', 'terminate'] as const) await endWorker(end)
  console.log('over')
} else {
  const { port, giveUp } = pend()
  parentPort?.postMessage(port)
  parentPort?.on('message', () => process.exit(0))
  if (how === 'exit' || how === 'throw') {
    // The answers come while the process ends.
    send(port)
    console.log('over')
    if (how === 'exit') process.exit(0)
    throw new Error('the end')
  }
  if (how === 'given-up') {
    process.once('exit', () => console.log(`over, with ${pendingCalls().pending} pending`))
    giveUp()
  }
}

function pend(): { port: number; giveUp(): void } {
  const socket = createSocket('datagram', 4)
  bindSocket(socket, { address: '127.0.0.1' })
  const controller = new AbortController()
  for (let index = 0; index < calls; index++)
    overlapped(target(socket, { signal: controller.signal }), receive()).catch(() => {})
  if (pendingCalls().pending !== calls) throw new Error(`${pendingCalls().pending} calls pend`)
  const port = localAddress(socket.descriptor)?.port as number
  return { port, giveUp: () => controller.abort() }
}

async function endWorker(how: 'exit' | 'terminate'): Promise<void> {
  const worker = new Worker(new URL(import.meta.url), { argv: [`worker-${how}`] })
  const [port] = (await event(worker, 'message')) as [number]
  const ended = event(worker, 'exit')
  if (how === 'terminate') worker.terminate()
  else worker.postMessage('end')
  await ended
  // The thread's socket is still open: Winsock writes to memory that only it knows.
  send(port)
  await setTimeout(50)
  // What would have been freed by mistake would be given out again, and written over.
  const others = Array.from({ length: 500 }, (_, index) => Buffer.alloc(64 + (index % 64), index))
  await setTimeout(20)
  for (const [index, each] of others.entries())
    if (each.some(byte => byte !== index % 256)) throw new Error('memory of others was written to')
}

function send(port: number): void {
  const sender = dgram.createSocket('udp4')
  for (let index = 0; index < calls; index++) sender.send('an answer', port, '127.0.0.1')
  sender.unref()
}
