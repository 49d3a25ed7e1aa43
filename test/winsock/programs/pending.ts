/**
 * A process or a thread that ends while sockets of every kind wait for calls that pend for ever:
 * `pending HOW`. The process exits, ends by an error, or by itself once the sockets were destroyed; or
 * a worker thread exits or is terminated. Says 'over' last where all went well.
 */
import net from 'node:net'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { SecureDgramSocket } from '../../../src/sockets/secure-dgram-socket.js'
import { SecureServer } from '../../../src/sockets/secure-server.js'
import { SecureSocket } from '../../../src/sockets/secure-socket.js'
import { event } from '../../support/events.js'
import { until } from '../../support/until.js'
import { winsockDouble } from '../../support/winsock-double.js'

const HOST = '127.0.0.1'
const security = { protocol: 'ipsec' } as const
const how = process.argv[2]

if (isMainThread && how === 'workers') {
  for (const end of ['exit', 'terminate'] as const) {
    const worker = new Worker(new URL(import.meta.url), { argv: [end] })
    await event(worker, 'message')
    const ended = event(worker, 'exit')
    if (end === 'terminate') worker.terminate()
    else worker.postMessage('end')
    await ended
    // What still pends is answered when nobody is there to hear it.
    winsockDouble().release()
  }
  console.log('over')
} else {
  const destroy = await pend()
  if (isMainThread) {
    if (how === 'destroyed') {
      process.once('exit', () => console.log('over'))
      destroy()
    } else {
      console.log('over')
      if (how === 'exit') process.exit(0)
      throw new Error('the end')
    }
  } else {
    parentPort?.on('message', () => process.exit(0))
    parentPort?.postMessage('pending')
  }
}

/** One call pends for each kind of socket. */
async function pend(): Promise<() => void> {
  const { behave, outstanding } = winsockDouble()
  const before = outstanding()
  const peer = net.createServer(raw => raw.on('error', () => {}).unref())
  peer.listen(0, HOST)
  await event(peer, 'listening')
  peer.unref()
  const { port } = peer.address() as net.AddressInfo
  const connecting = () => new SecureSocket({ security }).on('error', () => {}).connect(port, HOST)

  behave('WSAQuerySocketSecurity', { mode: 'never' })
  const connected = connecting()
  await until('the query pends', () => outstanding() === before + 1)
  behave('WSASetSocketSecurity', { mode: 'never' })
  const client = connecting()
  const server = new SecureServer({ security }).on('error', () => {})
  server.listen(0, HOST)
  const datagrams = new SecureDgramSocket({ type: 'udp4', security }).on('error', () => {})
  datagrams.bind(0, HOST)
  await until('all of them pend', () => outstanding() === before + 4)
  return () => {
    connected.destroy()
    client.destroy()
    server.close()
    datagrams.close()
  }
}
