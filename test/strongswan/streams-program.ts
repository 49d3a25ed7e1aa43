/**
 * The other host of streams.test.ts: does what it is told, one line of JSON each, and says what it
 * sees. Servers echo, and say "bye" at the end. It ends with its input.
 */
import net from 'node:net'
import { createInterface } from 'node:readline'
import { currentPeer, SecureServer, type SecureSocket } from '../../src/index.js'
import { type HostName, type Proof, securityOf } from './support/hosts.js'

interface Listen {
  host?: string
  port: number
  proof: Proof
  options?: object
}

interface Plain {
  host: string
  port: number
  /** How long an answer is waited for. */
  milliseconds: number
}

const own = process.env.HOST as HostName
const servers = new Map<number, net.Server>()
const sockets = new Set<SecureSocket>()
const say = (what: object) => process.stdout.write(`${JSON.stringify(what)}\n`)

const verbs: Record<string, (what: never) => Promise<object>> = {
  async listen({ host, port, proof, options }: Listen) {
    const server = new SecureServer({ ...options, security: securityOf(own, proof) as never })
    server.on('connection', serve)
    server.on('tlsClientError', ({ code, message }: NodeJS.ErrnoException) =>
      say({ event: 'refused', code, message }),
    )
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port }, resolve)
    })
    servers.set(port, server)
    return {}
  },
  async close({ port }: { port: number }) {
    servers.get(port)?.close()
    return {}
  },
  async closeAll() {
    for (const each of servers.values()) each.close()
    for (const each of sockets) each.destroy()
    return {}
  },
  /** A client in clear: what it comes to. */
  async plain({ host, port, milliseconds }: Plain) {
    const socket = net.connect({ host, port })
    const outcome = await new Promise<string>(resolve => {
      setTimeout(resolve, milliseconds, 'silence')
      socket.once('connect', () => resolve('connected'))
      socket.once('error', error => resolve(`error: ${error.message}`))
    })
    socket.destroy()
    return { outcome }
  },
}

function serve(socket: SecureSocket): void {
  sockets.add(socket)
  socket.once('close', () => sockets.delete(socket))
  const { remoteAddress, remotePort, localAddress } = socket
  socket.impersonatePeer(() => {
    setImmediate(async () => {
      const { secured, encrypted, peer, cipher } = await socket.querySecurity()
      say({
        event: 'connection',
        ...{ remoteAddress, remotePort, localAddress, secured, encrypted, cipher },
        names: peer?.names,
        pskIdentity: peer?.pskIdentity,
        currentPeer: currentPeer()?.names,
      })
    })
  })
  socket.on('error', ({ code, message }: NodeJS.ErrnoException) =>
    say({ event: 'failed', code, message, remotePort }),
  )
  socket.on('data', data => {
    socket.write(data)
  })
  socket.on('end', () => {
    socket.end('bye')
  })
}

createInterface(process.stdin).on('line', async line => {
  const { id, verb, ...rest } = JSON.parse(line)
  try {
    say({ id, result: await verbs[verb]?.(rest as never) })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    say({ id, error: { code, message } })
  }
})
process.stdin.once('end', () => void verbs.closeAll?.({} as never))
say({ event: 'ready' })
