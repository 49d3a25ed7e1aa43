/**
 * Calls that complete later, against Winsock itself: WSARecv of a datagram socket pends until
 * something comes. What matters is the memory: it stays as long as the call is pending, whatever
 * becomes of the promise, and is freed once.
 */
import dgram from 'node:dgram'
import { performance } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { closeHandle, createEvent, readMemory } from '../../lib/kernel32.js'
import { loadKoffi } from '../../lib/koffi.js'
import { WSA_IO_PENDING } from '../../lib/winsock.js'
import { overlapped, pendingCalls } from '../../src/providers/winsock/overlapped.js'
import { bindSocket, createSocket } from '../../src/providers/winsock/sockets.js'
import { sizeofWsaOverlapped } from '../../src/providers/winsock/structures/wsaoverlapped.js'
import { until } from '../support/until.js'
import { runProgram } from './child.js'
import { localAddress } from './local-address.js'
import { receive, target, text } from './receiving.js'

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

t.test('a socket that is gone is noticed, whatever Winsock does', { skip: noWinsock }, async t => {
  const { socket } = receiver(t)
  let open = true
  const answer = overlapped(target(socket, { alive: () => open }), receive())
  open = false
  await t.rejects(answer, { code: 'ENOTSOCK', syscall: 'WSARecv' })
  t.same(pendingCalls(), { pending: 1, abandoned: 1 }, 'its memory still waits')
})

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
  await until('the loop runs meanwhile', () => turns >= 3)
  clearInterval(counter)
  for (let index = 0; index < 20; index++) send(`${index}`)
  const all = (await Promise.all(answers)).map(text).sort((a, b) => Number(a) - Number(b))
  t.same(
    all,
    Array.from({ length: 20 }, (_, index) => `${index}`),
  )
})

t.test('the memory and the event of each call are given back', { skip: noWinsock }, async t => {
  const { socket, send } = receiver(t)
  const ends = {
    answered: () => send('an answer'),
    'given up': (controller: AbortController) => controller.abort(),
    'failed at once': () => {},
  }
  for (const [how, end] of Object.entries(ends)) {
    const request = receive()
    const blocks = new Set<number>()
    const before = nextHandle()
    for (let index = 0; index < 20; index++) {
      const controller = new AbortController()
      const answer = overlapped(target(socket, { signal: controller.signal }), {
        ...request,
        memory: Buffer.alloc(uncommon),
        call: (socket, at, ovl) => {
          blocks.add(ovl)
          t.equal(sizeOfBlock(ovl), sizeofWsaOverlapped + uncommon)
          return how === 'failed at once' ? 10040 : request.call(socket, at, ovl)
        },
      })
      end(controller)
      await answer.catch(() => {})
      await untilIdle()
    }
    const kept = [...blocks].filter(each => sizeOfBlock(each) === sizeofWsaOverlapped + uncommon)
    t.same(kept, [], `${how}: no memory is left`)
    t.equal(nextHandle(), before, `${how}: no event is left`)
  }
})

t.test('nothing of what a call was given stays in its memory', { skip: noWinsock }, async t => {
  const { socket, send } = receiver(t)
  const ends = {
    answered: () => send('an answer'),
    'given up': (controller: AbortController) => controller.abort(),
    'failed at once': () => {},
  }
  for (const [how, end] of Object.entries(ends)) {
    const request = receive()
    let place = 0
    const controller = new AbortController()
    const answer = overlapped(target(socket, { signal: controller.signal }), {
      ...request,
      memory: Buffer.alloc(1000, 'secret'),
      call: (socket, at, ovl) => {
        place = at
        t.ok(memoryAt(at, 1000).includes('secret'), `${how}: it is there`)
        return how === 'failed at once' ? 10040 : request.call(socket, at, ovl)
      },
    })
    end(controller)
    await answer.catch(() => {})
    await untilIdle()
    t.notOk(memoryAt(place, 1000).includes('secret'), `${how}: and not any more`)
  }
})

function memoryAt(address: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  readMemory(address, bytes)
  return bytes
}

/** Of memory: that of nobody else. */
const uncommon = 48_611

/** What the heap knows of an address: Wine says -1 of what is no block of it. */
function sizeOfBlock(address: number): number {
  const library = loadKoffi().load('kernel32.dll')
  const heap = library.func('intptr_t __stdcall GetProcessHeap()')()
  return library.func('intptr_t __stdcall HeapSize(intptr_t heap, uint32_t flags, intptr_t block)')(
    heap,
    0,
    address,
  )
}

/** Handles are given out from the lowest number that is free. */
function nextHandle(): number {
  const handle = createEvent()
  closeHandle(handle)
  return handle
}

for (const [how, code] of [
  ['exit', 0],
  ['throw', 1],
  ['given-up', 0],
  ['workers', 0],
] as const) {
  t.test(`ends with calls pending: ${how}`, { skip: noWinsock }, async t => {
    const ended = await runProgram(t, 'overlapped-ends', [how])
    t.match(ended.output, /^over/m, ended.output)
    t.equal(ended.code, code, ended.output)
    t.equal(ended.signal, null)
  })
}
