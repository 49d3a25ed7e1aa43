/** Threads whose sockets send to each other as much as they can, and which end one after the other. */
import dgram from 'node:dgram'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'
import { event } from '../support/events.js'
import { until } from '../support/until.js'

const LOOPBACK = '127.0.0.1'
const threads = 3
const rounds = 12
const enough = 200

if (isMainThread) await main()
else await member()

async function main(): Promise<void> {
  // This thread has a channel, too.
  const own = await speaker()
  let members = await Promise.all(Array.from({ length: threads }, start))
  introduce(members, own)
  await everyoneHears(members, own)
  console.log('all threads have heard of each other')

  const descriptors = openDescriptors()
  const ports: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const [leaving, ...others] = members as [Member, ...Member[]]
    leaving.worker.off('error', fail)
    const ended = once(leaving.worker, 'exit')
    if (round % 3 === 0) leaving.worker.postMessage('exit')
    else leaving.worker.terminate()
    await ended
    ports.push(leaving.port)
    await everyoneHears(others, own)
    members = [...others, await start()]
    introduce(members, own)
    await everyoneHears(members, own)
  }
  console.log(`${ports.length} threads have ended, and the others went on`)

  for (const { worker } of members) worker.terminate()
  await Promise.all(members.map(({ worker }) => once(worker, 'exit')))
  await until('every descriptor is closed', () => openDescriptors() < descriptors)
  await Promise.all(ports.map(isFree))
  console.log('no descriptor is left, and their ports are free')
  // In the midst of its own traffic, which nobody answers any longer.
  process.exit()
}

interface Member {
  readonly worker: Worker
  readonly port: number
  heard: number
}

async function start(): Promise<Member> {
  const worker = new Worker(new URL(import.meta.url))
  worker.on('error', fail)
  const [port] = (await event(worker, 'message', 60_000)) as [number]
  const member = { worker, port, heard: 0 }
  worker.on('message', count => {
    member.heard += count
  })
  return member
}

/** From now on each sends to all the others. */
function introduce(members: readonly Member[], own: Speaker): void {
  const ports = [own.port, ...members.map(({ port }) => port)]
  own.sendTo(ports)
  for (const { worker } of members) worker.postMessage(ports)
}

async function everyoneHears(members: readonly Member[], own: Speaker): Promise<void> {
  const before = members.map(({ heard }) => heard)
  const ownBefore = own.heard()
  await until(
    'every thread hears of others',
    () =>
      own.heard() >= ownBefore + enough &&
      members.every(({ heard }, index) => heard >= (before[index] as number) + enough),
    30_000,
  )
}

/** What each of the other threads does. */
async function member(): Promise<void> {
  const own = await speaker()
  let told = 0
  parentPort?.on('message', (message: 'exit' | number[]) => {
    if (message === 'exit') process.exit()
    own.sendTo(message)
  })
  parentPort?.postMessage(own.port)
  setInterval(() => {
    parentPort?.postMessage(own.heard() - told)
    told = own.heard()
  }, 10)
}

interface Speaker {
  readonly port: number
  heard(): number
  /** Sends to these ports, but its own, without end. */
  sendTo(ports: readonly number[]): void
}

async function speaker(): Promise<Speaker> {
  const security = JSON.parse(process.env.WORKER_SECURITY ?? '')
  const socket = new SecureDgramSocket({ type: 'udp4', security })
  let heard = 0
  let peers: readonly number[] = []
  socket.on('message', () => {
    heard += 1
  })
  socket.bind(0, LOOPBACK)
  await event(socket, 'listening')
  const { port } = socket.address()
  const message = Buffer.alloc(64, 1)
  const burst = () => {
    for (const peer of peers) {
      if (peer === port) continue
      for (let count = 0; count < 8; count += 1) socket.send(message, peer, LOOPBACK, () => {})
    }
    setTimeout(burst, 1)
  }
  burst()
  return {
    port,
    heard: () => heard,
    sendTo(ports) {
      peers = ports
    },
  }
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length
}

/** Fails where somebody has the port still. */
async function isFree(port: number): Promise<void> {
  const socket = dgram.createSocket('udp4').bind({ port, address: LOOPBACK, exclusive: true })
  await event(socket, 'listening')
  socket.close()
}

function fail(error: Error): never {
  throw error
}
