/**
 * A process or a thread that ends while calls of the secure socket extensions pend for ever.
 * `pending KIND HOW`: a client, a listener, a datagram socket or the query of a connection pends; the
 * process exits, ends by an error, or by itself after the socket was destroyed, or a worker thread
 * exits or is terminated. Says 'over' last where all went well.
 */
import net from 'node:net'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { SecureDgramSocket } from '../../../src/sockets/secure-dgram-socket.js'
import { SecureServer } from '../../../src/sockets/secure-server.js'
import { SecureSocket } from '../../../src/sockets/secure-socket.js'
import { event } from '../../support/events.js'
import { until } from '../../support/until.js'
import { winsockDouble } from '../../support/winsock-double.js'

const [kind, how] = isMainThread ? process.argv.slice(2) : workerData
const security = { protocol: 'ipsec' } as const

if (isMainThread && (how === 'worker-exit' || how === 'worker-terminate')) {
  const worker = new Worker(new URL(import.meta.url), { workerData: [kind, how] })
  const ended = event(worker, 'exit')
  await event(worker, 'message')
  if (how === 'worker-terminate') await worker.terminate()
  await ended
  console.log('over')
} else {
  const end = await pend()
  if (!isMainThread) {
    parentPort?.postMessage('pending')
    if (how === 'worker-exit') process.exit(0)
  } else if (how === 'throw') {
    console.log('over')
    throw new Error('the end')
  } else if (how === 'exit') {
    console.log('over')
    process.exit(0)
  } else {
    // It ends by itself: nothing of the pending call holds the process.
    process.once('exit', () => console.log('over'))
    end()
  }
}

/** Something pends; gives what destroys its socket. */
async function pend(): Promise<() => void> {
  const { behave, outstanding } = winsockDouble()
  behave(kind === 'query' ? 'WSAQuerySocketSecurity' : 'WSASetSocketSecurity', { mode: 'never' })
  const end = await started()
  await until('a call pends', () => outstanding() > 0)
  return end
}

async function started(): Promise<() => void> {
  if (kind === 'listener') {
    const server = new SecureServer({ security })
    server.on('error', () => {})
    server.listen(0, '127.0.0.1')
    return () => server.close()
  }
  if (kind === 'datagram') {
    const socket = new SecureDgramSocket({ type: 'udp4', security })
    socket.on('error', () => {})
    socket.bind(0, '127.0.0.1')
    return () => socket.close()
  }
  const peer = net.createServer().listen(0, '127.0.0.1')
  await event(peer, 'listening')
  peer.unref()
  peer.on('connection', raw => raw.on('error', () => {}).unref())
  const socket = new SecureSocket({ security })
  socket.on('error', () => {})
  socket.connect((peer.address() as net.AddressInfo).port, '127.0.0.1')
  return () => socket.destroy()
}
