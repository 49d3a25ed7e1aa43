/**
 * Uses every kind of socket in a process whose Fwpuclnt.dll lacks something: `without PORT`, where a
 * stream and a datagram socket listen. Prints what each has ended with, as JSON.
 */
import { createSocket } from '../../../src/dgram.js'
import { createConnection, createServer } from '../../../src/net.js'

const HOST = '127.0.0.1'
const port = Number(process.argv[2])
const security = { protocol: 'ipsec' } as const
const outcomes: Record<string, unknown> = {}

const client = createConnection({ port, host: HOST, security })
client.write('a secret')
outcomes.client = await errorOf(client)

const server = createServer({ security })
server.listen(0, HOST)
outcomes.server = await errorOf(server)

const bound = createSocket({ type: 'udp4', security })
bound.bind(0, HOST)
outcomes.bound = await errorOf(bound)

const sender = createSocket({ type: 'udp4', security }).on('error', () => {})
outcomes.sender = await new Promise(resolve => {
  sender.send('a secret', port, HOST, error => resolve(told(error)))
})
console.log(JSON.stringify(outcomes))
process.exit(0)

function errorOf(emitter: {
  on(event: 'error', listener: (error: Error) => void): unknown
}): Promise<unknown> {
  return new Promise(resolve => emitter.on('error', error => resolve(told(error))))
}

function told(error: Error | null) {
  return { code: (error as { code?: string } | null)?.code, message: error?.message }
}
