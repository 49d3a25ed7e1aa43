/**
 * Calls that complete later, against Winsock itself: WSARecv of a datagram socket pends until
 * something comes. What matters is the memory: it stays as long as the call is pending, whatever
 * becomes of the promise, and is freed once.
 */
import dgram from 'node:dgram'
import { performance } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { loadKoffi } from '../../lib/koffi.js'
import { type Pointer, WSA_IO_PENDING, wsaGetLastError } from '../../lib/winsock.js'
import {
  type CallTarget,
  type OverlappedRequest,
  overlapped,
  pendingCalls,
} from '../../src/providers/winsock/overlapped.js'
import {
  bindSocket,
  createSocket,
  localAddress,
  type WindowsSocket,
} from '../../src/providers/winsock/sockets.js'
import { until } from '../support/until.js'

const noWinsock = process.platform === 'win32' ? false : 'needs Winsock: npm run test:winsock'
const idle = { pending: 0, abandoned: 0 }

/** A datagram socket on loopback, and somebody who sends to it. */
function receiver(t: Test) {
  const socket = createSocket('datagram', 4)
  bindSocket(socket, { address: '127.0.0.1' })
  const port = localAddress(socket.descriptor)?.port as number
  const sender = dgram.createSocket('udp4')
  t.teardown(() => {
    sender.close()
    socket.discard()
    return untilIdle()
  })
  return { socket, send: (text: string) => void sender.send(text, port, '127.0.0.1') }
}

/** All memory is freed. */
function untilIdle(): Promise<void> {
  return until('every call has completed', () => pendingCalls().pending === 0)
}

function target(socket: WindowsSocket, more: Partial<CallTarget> = {}): CallTarget {
  const { descriptor, alive, isAdopted } = socket
  return { socket: descriptor, adopted: isAdopted, alive, timeout: 10_000, ...more }
}

let recv: ((...args: unknown[]) => number) | undefined

/** WSARecv into the memory behind a WSABUF. */
function receive(more: Partial<OverlappedRequest> = {}): OverlappedRequest {
  recv ??= loadKoffi()
    .load('ws2_32.dll')
    .func(
      'int __stdcall WSARecv(intptr_t socket, intptr_t buffers, uint32_t count, intptr_t received, _Inout_ uint32_t *flags, intptr_t overlapped, intptr_t routine)',
    ) as (...args: unknown[]) => number
  const WSARecv = recv
  const room = 32
  const memory = Buffer.alloc(16 + room)
  return {
    syscall: 'WSARecv',
    memory,
    answerAt: 16,
    call(socket: number, at: Pointer, ovl: Pointer) {
      const buffer = Buffer.alloc(16)
      buffer.writeUInt32LE(room, 0)
      buffer.writeBigUInt64LE(BigInt(at + 16), 8)
      write(at, buffer)
      return WSARecv(socket, at, 1, 0, [0], ovl, 0) === 0 ? 0 : wsaGetLastError()
    },
    ...more,
  }
}

function write(at: Pointer, bytes: Buffer): void {
  for (const [index, byte] of bytes.entries())
    loadKoffi().encode(BigInt(at + index), 'uint8_t', byte)
}

const text = (answer: Buffer) => answer.toString('latin1').replace(/\0+$/, '')

t.test('a call that pends resolves when it has completed', { skip: noWinsock }, async t => {
  const { socket, send } = receiver(t)
  const answer = overlapped(target(socket), receive())
  t.same(pendingCalls(), { pending: 1, abandoned: 0 })
  send('hello')
  t.equal(text(await answer), 'hello')
  t.same(pendingCalls(), idle)
})

t.test(
  'a call that is done at once resolves with what it answered',
  { skip: noWinsock },
  async t => {
    const { socket, send } = receiver(t)
    const first = overlapped(target(socket), receive())
    send('one')
    send('two')
    t.equal(text(await first), 'one')
    let result: number | undefined
    const request = receive()
    const { call } = request
    const again = () =>
      overlapped(target(socket), {
        ...request,
        call: (...args) => {
          result = call(...args)
          return result
        },
      })
    t.equal(text(await again()), 'two')
    t.ok(result === 0 || result === WSA_IO_PENDING)
    t.same(pendingCalls(), idle)
  },
)

t.test('a call that fails at once rejects, and leaves nothing', { skip: noWinsock }, async t => {
  const { socket } = receiver(t)
  await t.rejects(overlapped(target(socket), receive({ call: () => 10040 })), {
    code: 'EMSGSIZE',
    syscall: 'WSARecv',
    errno: 10040,
  })
  t.same(pendingCalls(), idle)
})

t.test('a call that fails later rejects with its own error', { skip: noWinsock }, async t => {
  const { socket, send } = receiver(t)
  const answer = overlapped(target(socket, { peer: '127.0.0.1:9' }), receive())
  send('more than the 32 bytes that there is room for')
  await t.rejects(answer, { code: 'EMSGSIZE', errno: 10040, peer: '127.0.0.1:9' })
  t.same(pendingCalls(), idle)
})

t.test(
  'after the timeout the call is given up, then its memory freed',
  { skip: noWinsock },
  async t => {
    const { socket, send } = receiver(t)
    let late = 0
    const begun = performance.now()
    await t.rejects(overlapped(target(socket, { timeout: 50 }), receive({ late: () => late++ })), {
      code: 'ETIMEDOUT',
      syscall: 'WSARecv',
      message: /within 50 ms/,
    })
    t.ok(performance.now() - begun >= 50)
    await untilIdle()
    t.equal(late, 0, 'Winsock gave it up: there is no answer')
    send('for the next one')
    t.equal(text(await overlapped(target(socket), receive())), 'for the next one')
  },
)

t.test('a signal gives the call up', { skip: noWinsock }, async t => {
  const { socket } = receiver(t)
  const controller = new AbortController()
  const answer = overlapped(target(socket, { signal: controller.signal }), receive())
  controller.abort()
  t.same(pendingCalls(), { pending: 1, abandoned: 1 }, 'the memory waits for Winsock')
  await t.rejects(answer, { code: 'ECANCELED', syscall: 'WSARecv' })
  await untilIdle()

  await t.rejects(
    overlapped(
      target(socket, { signal: controller.signal }),
      receive({ call: () => t.fail() as never }),
    ),
    { code: 'ECANCELED' },
    'and one that is given up already is never made',
  )
})

t.test(
  'closing the socket rejects at once; its number is not used again',
  { skip: noWinsock },
  async t => {
    const { socket } = receiver(t)
    const answer = overlapped(target(socket), receive())
    await setTimeout(20)
    socket.discard()
    await t.rejects(answer, { code: 'ENOTSOCK', syscall: 'WSARecv' })
    await untilIdle()
    await t.rejects(overlapped(target(socket), receive({ call: () => t.fail() as never })), {
      code: 'ENOTSOCK',
    })
  },
)

t.test('an answer that comes for nobody is let go', { skip: noWinsock }, async t => {
  const { socket, send } = receiver(t)
  const controller = new AbortController()
  const answers: string[] = []
  // As if it were closed for us, while it is open for Winsock: the call cannot be cancelled.
  const gone = target(socket, {
    signal: controller.signal,
    alive: () => !controller.signal.aborted,
  })
  const answer = overlapped(gone, receive({ late: each => answers.push(text(each)) }))
  controller.abort()
  await t.rejects(answer, { code: 'ECANCELED' })
  t.same(pendingCalls(), { pending: 1, abandoned: 1 })
  send('late')
  await untilIdle()
  t.same(answers, ['late'])
})

t.test('a call that waits keeps the process, but not the loop', { skip: noWinsock }, async t => {
  const { socket, send } = receiver(t)
  const answers = Array.from({ length: 20 }, () => overlapped(target(socket), receive()))
  t.equal(pendingCalls().pending, 20)
  let turns = 0
  const counter = setInterval(() => turns++, 1)
  await setTimeout(100)
  clearInterval(counter)
  t.ok(turns >= 3, `the loop ran ${turns} times meanwhile`)
  for (let index = 0; index < 20; index++) send(`${index}`)
  const all = (await Promise.all(answers)).map(text).sort((a, b) => Number(a) - Number(b))
  t.same(
    all,
    Array.from({ length: 20 }, (_, index) => `${index}`),
  )
})
