/** A process of a cluster that tries to bind secured datagram sockets, and tells its parent how that went. */
import { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'
import { OWN_HOST } from './subject.js'

const attempts = JSON.parse(process.env.RULES_ATTEMPTS ?? '[]')
const outcomes: Promise<string>[] = attempts.map(({ security, options }: Attempt) => {
  const socket = new SecureDgramSocket({ type: 'udp4', security })
  socket.bind({ port: 0, address: OWN_HOST, ...options })
  return new Promise(resolve => {
    socket.once('listening', () => resolve('listening'))
    socket.once('error', error => resolve((error as { code?: string }).code ?? error.message))
  })
})
process.send?.(await Promise.all(outcomes))

interface Attempt {
  readonly security: object
  readonly options?: object
}
