/** Secured SOCKETs without a handle of Node's, and as whom a thread acts. */
import net from 'node:net'
import { openThreadToken, TOKEN_QUERY } from '../../lib/advapi32.js'
import { closeHandle } from '../../lib/kernel32.js'
import { loadKoffi } from '../../lib/koffi.js'
import { parseSettings } from '../../src/model/settings.js'
import { type CallTarget, setSecurity } from '../../src/providers/winsock/calls.js'
import { bindSocket, createSocket } from '../../src/providers/winsock/sockets.js'
import { sockaddr } from '../../src/providers/winsock/structures/sockaddr.js'
import { event } from '../support/events.js'

/** Who closes what is made here: a test, as a rule. */
interface Owner {
  teardown(close: () => void): void
}

/** A secured connection to a plain server of this process. */
export async function securedConnection(t: Owner): Promise<CallTarget> {
  const server = net.createServer(socket => socket.on('error', () => {}))
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as net.AddressInfo
  const socket = createSocket('stream', 4)
  t.teardown(() => socket.discard())
  const target = { ...targetOf(socket), peer: `127.0.0.1:${port}` }
  await setSecurity(target, parseSettings({ protocol: 'ipsec' }))
  const address = sockaddr({ family: 4, address: '127.0.0.1', port }, 'connect')
  const connect = loadKoffi()
    .load('C:\\windows\\system32\\ws2_32.dll')
    .func('int __stdcall connect(intptr_t socket, const void *address, int length)')
  if (connect(socket.descriptor, address, address.length) !== 0) throw new Error('connect')
  return target
}

/** A secured datagram socket, bound to loopback. */
export async function securedDatagrams(t: Owner): Promise<CallTarget> {
  const socket = createSocket('datagram', 4)
  t.teardown(() => socket.discard())
  const target = targetOf(socket)
  await setSecurity(target, parseSettings({ protocol: 'ipsec' }, 'datagram'))
  bindSocket(socket, { address: '127.0.0.1' })
  return target
}

function targetOf(socket: ReturnType<typeof createSocket>): CallTarget {
  return {
    socket: socket.descriptor,
    adopted: false,
    alive: () => socket.alive(),
    timeout: 5000,
  }
}

/** What tells the token that this thread acts by from all others; '' where it acts as its process. */
export function actingBy(): string {
  const { token, error } = openThreadToken(TOKEN_QUERY)
  if (error !== 0) return ''
  const statistics = Buffer.alloc(56)
  const GetTokenInformation = loadKoffi()
    .load('C:\\windows\\system32\\advapi32.dll')
    .func(
      'int __stdcall GetTokenInformation(intptr_t token, int kind, void *information, uint32_t length, _Out_ uint32_t *needed)',
    )
  // TokenStatistics, whose first field is the token's own number.
  const told = GetTokenInformation(token, 10, statistics, statistics.length, [0])
  closeHandle(token)
  if (told === 0) throw new Error('GetTokenInformation')
  return statistics.toString('hex', 0, 8)
}
