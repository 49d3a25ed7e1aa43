/**
 * Sets security on a SOCKET that Node has adopted, by a call that completes later, and stays until it has.
 * Its argument: the lowest bit of hEvent.
 */
import net from 'node:net'
import { allocateMemory, createEvent, isSignalled, writeMemory } from '../../../lib/kernel32.js'
import { WSA_IO_PENDING, WSASetSocketSecurity, WSASocketW } from '../../../lib/winsock.js'
import { winsockDouble } from '../../support/winsock-double.js'

interface Handle {
  constructor: new (type: number) => Handle
  open(socket: number): number
}

const socket = WSASocketW(2, 1, 6, 0x81)
const sample = new net.Socket()
sample.connect({ host: 'x.invalid', port: 1, lookup() {} })
const TCP = (sample as unknown as { _handle: Handle })._handle.constructor
sample.destroy()
const handle = new TCP(0)
if (handle.open(socket) !== 0) throw new Error('Node did not take the socket')

winsockDouble().behave('WSASetSocketSecurity', { mode: 'pend', delay: 20 })
const event = createEvent()
const overlapped = allocateMemory(32)
const fields = Buffer.alloc(32)
fields.writeBigUInt64LE(BigInt(event | Number(process.argv[2])), 24)
writeMemory(overlapped, fields)
if (WSASetSocketSecurity(socket, 0, 0, overlapped) !== WSA_IO_PENDING) process.exit(2)
const timer = setInterval(() => {
  if (!isSignalled(event)) return
  clearInterval(timer)
  // The loop gets another chance to look at its completion port.
  setTimeout(() => handle, 50)
}, 5)
