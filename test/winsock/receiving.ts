/** A call of Winsock's own that pends until something comes, for the tests of overlapped calls. */

import { writeMemory } from '../../lib/kernel32.js'
import { loadKoffi } from '../../lib/koffi.js'
import { type Pointer, wsaGetLastError } from '../../lib/winsock.js'
import type { CallTarget, OverlappedRequest } from '../../src/providers/winsock/overlapped.js'
import type { WindowsSocket } from '../../src/providers/winsock/sockets.js'

export function target(socket: WindowsSocket, more: Partial<CallTarget> = {}): CallTarget {
  const { descriptor, alive, isAdopted } = socket
  return { socket: descriptor, adopted: isAdopted, alive, timeout: 10_000, ...more }
}

const sizeofWsabuf = 16
const roomForAnswer = 32

/** WSARecv of a datagram of 32 bytes at most. The memory: a WSABUF, then what it points to. */
export function receive(more: Partial<OverlappedRequest> = {}): OverlappedRequest {
  return {
    syscall: 'WSARecv',
    memory: Buffer.alloc(sizeofWsabuf + roomForAnswer),
    answerAt: sizeofWsabuf,
    call(socket: number, at: Pointer, ovl: Pointer) {
      const wsabuf = Buffer.alloc(sizeofWsabuf)
      wsabuf.writeUInt32LE(roomForAnswer, 0)
      wsabuf.writeBigUInt64LE(BigInt(at + sizeofWsabuf), 8)
      writeMemory(at, wsabuf)
      return wsaRecv()(socket, at, 1, 0, [0], ovl, 0) === 0 ? 0 : wsaGetLastError()
    },
    ...more,
  }
}

/** What was received. */
export function text(answer: Buffer): string {
  return answer.toString('latin1').replace(/\0+$/, '')
}

let declared: ((...args: unknown[]) => number) | undefined

function wsaRecv() {
  declared ??= loadKoffi()
    .load('ws2_32.dll')
    .func(
      'int __stdcall WSARecv(intptr_t socket, intptr_t buffers, uint32_t count, intptr_t received, _Inout_ uint32_t *flags, intptr_t overlapped, intptr_t routine)',
    ) as (...args: unknown[]) => number
  return declared
}
