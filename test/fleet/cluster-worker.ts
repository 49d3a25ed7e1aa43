/** A worker of a cluster that binds datagram sockets as CLUSTER_ATTEMPTS says, and tells what came of it. */
import { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'

interface Attempt {
  readonly options: object
  readonly bind: { readonly port?: number; readonly exclusive?: boolean }
}

const attempts: Attempt[] = JSON.parse(process.env.CLUSTER_ATTEMPTS ?? '[]')
const outcomes = attempts.map(({ options, bind }) => {
  const socket = new SecureDgramSocket({ type: 'udp4', ...options })
  socket.bind({ port: 0, address: '127.0.0.1', ...bind })
  return new Promise(resolve => {
    socket.once('listening', () => resolve('listening'))
    socket.once('error', ({ code, message }: Error & { code?: string }) =>
      resolve({ code, message }),
    )
  })
})
process.send?.(await Promise.all(outcomes))
