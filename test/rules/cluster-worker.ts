/** A process of a cluster that tries to listen on secured sockets, and tells its parent how that went. */
import { SecureServer } from '../../src/sockets/secure-server.js'
import { OWN_HOST } from './subject.js'

const attempts = JSON.parse(process.env.RULES_ATTEMPTS ?? '[]')
const outcomes: Promise<string>[] = attempts.map(({ security, options }: Attempt) => {
  const server = new SecureServer({ security })
  server.listen({ port: 0, host: OWN_HOST, ...options })
  return new Promise(resolve => {
    server.once('listening', () => resolve('listening'))
    server.once('error', error => resolve((error as { code?: string }).code ?? error.message))
  })
})
process.send?.(await Promise.all(outcomes))

interface Attempt {
  readonly security: object
  readonly options?: object
}
