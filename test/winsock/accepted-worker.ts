/** A worker of accepted-socket.test.ts: finds its own connections, and looks for one of the main thread. */
import net, { type Socket } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { findAcceptedSocket } from '../../src/providers/winsock/accepted-socket.js'

const found = new Set<number>()
const server = net.createServer(accepted => {
  accepted.on('error', () => {})
  found.add(findAcceptedSocket(accepted).socket)
  if (found.size === 10) parentPort?.postMessage({ own: found.size, foreign: foreign() })
})
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as net.AddressInfo
  for (let i = 0; i < 10; i++) net.connect(port, '127.0.0.1').on('error', () => {})
})

function foreign(): unknown {
  try {
    return findAcceptedSocket({ ...workerData, _handle: {} } as Socket).socket
  } catch (error) {
    return (error as { code?: string }).code
  }
}
