/**
 * An overlapped call on a SOCKET that Node's handle has adopted: `naive` with a plain event, `marked`
 * with the lowest bit of the event set. Says 'alive' where the process has survived its completion.
 */
import net from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { allocateMemory, createEvent, isSignalled, writeMemory } from '../../../lib/kernel32.js'
import { loadKoffi } from '../../../lib/koffi.js'
import * as winsock from '../../../lib/winsock.js'
import { event } from '../../support/events.js'

const marked = process.argv[2] === 'marked'

const peer = net.createServer()
peer.listen(0, '127.0.0.1')
await event(peer, 'listening')
const { port } = peer.address() as net.AddressInfo

const descriptor = winsock.WSASocketW(
  winsock.AF_INET,
  winsock.SOCK_STREAM,
  winsock.IPPROTO_TCP,
  winsock.WSA_FLAG_OVERLAPPED | winsock.WSA_FLAG_NO_HANDLE_INHERIT,
)
const handle = newTcpHandle()
if (handle.open(descriptor) !== 0) throw new Error('Node did not take the socket')
const socket = new net.Socket({ handle, manualStart: true } as object)
const accepted = event(peer, 'connection')
socket.connect(port, '127.0.0.1')
await event(socket, 'connect')
socket.pause()
const [other] = (await accepted) as [net.Socket]

const signal = createEvent()
const overlapped = allocateMemory(32)
const room = allocateMemory(16)
const buffer = allocateMemory(16)
const hEvent = Buffer.alloc(8)
hEvent.writeBigUInt64LE(BigInt(signal) | (marked ? 1n : 0n))
writeMemory(overlapped + 24, hEvent)
const wsabuf = Buffer.alloc(16)
wsabuf.writeUInt32LE(16, 0)
wsabuf.writeBigUInt64LE(BigInt(room), 8)
writeMemory(buffer, wsabuf)
const WSARecv = loadKoffi()
  .load('ws2_32.dll')
  .func(
    'int __stdcall WSARecv(intptr_t socket, intptr_t buffers, uint32_t count, intptr_t received, _Inout_ uint32_t *flags, intptr_t overlapped, intptr_t routine)',
  )
console.log('received', WSARecv(descriptor, buffer, 1, 0, [0], overlapped, 0))
other.write('x')
while (!isSignalled(signal)) await setTimeout(5)
// What the completion does to the loop, it does in the next turns.
await setTimeout(200)
console.log('alive')
process.exit(0)

interface TcpHandle {
  open(descriptor: number): number
}

function newTcpHandle(): TcpHandle {
  const socket = new net.Socket()
  socket.connect({ host: 'x.invalid', port: 1, lookup() {} })
  const { _handle } = socket as unknown as { _handle: { constructor: unknown } }
  const TCP = _handle.constructor as new (type: number) => TcpHandle
  socket.destroy()
  return new TCP(0)
}
