/** A secured server on loopback, and the settings of the two ends. */
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { SecuritySettings } from '../../src/model/settings.js'
import {
  type ConnectionListener,
  SecureServer,
  type SecureServerOptions,
} from '../../src/sockets/secure-server.js'
import { event } from './events.js'
import { testIdentity } from './identities.js'

export interface Listening {
  readonly server: SecureServer
  readonly port: number
  /** What was refused, in order. */
  readonly refused: (Error & { code?: string })[]
}

/** Listens on 127.0.0.1 until the end of the test, with the test server's identity unless told otherwise. */
export async function listening(
  t: Test,
  options: SecureServerOptions,
  listener: ConnectionListener = socket => socket.on('error', () => {}).resume(),
): Promise<Listening> {
  const { security, ...rest } = options
  const server = new SecureServer(
    { ...rest, security: { ...(await serverIdentity()), ...security } },
    listener,
  )
  const refused: Error[] = []
  server.on('tlsClientError', error => refused.push(error))
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  const open = new Set<{ destroy(): void }>()
  server.prependListener('connection', socket => open.add(socket))
  t.teardown(async () => {
    for (const socket of open) socket.destroy()
    if (server.listening) await new Promise(resolve => server.close(resolve))
  })
  return { server, port: (server.address() as AddressInfo).port, refused }
}

/** Certificate and key of the server `localhost`, 127.0.0.1 and ::1. */
export async function serverIdentity(): Promise<Pick<SecuritySettings, 'cert' | 'key'>> {
  const { cert, key } = await testIdentity()
  return { cert, key }
}

/** The authority that both ends trust. */
export async function trust(): Promise<{ ca: string }> {
  const { ca } = await testIdentity()
  return { ca }
}

/** A client's identity, and its trust. */
export async function clientIdentity(): Promise<SecuritySettings> {
  const { cert, key, ca } = await testIdentity(['client.example'])
  return { cert, key, ca }
}
