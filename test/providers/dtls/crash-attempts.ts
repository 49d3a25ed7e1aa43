/**
 * Programs that try to drive the binding into what crashed or corrupted it before it had rules (see
 * src/providers/dtls/openssl.ts). Each is run by crashes.test.ts in a process of its own, with
 * garbage collection on request, and says at its end what it has seen.
 */
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import type { Association } from '../../../src/providers/dtls/association.js'
import { alsoTell, createPair, deliver, handshake, type Pair, protect, say } from './pair.js'

const collect = global.gc as () => void
const key = Buffer.alloc(16, 7)
const client = { psk: { identity: 'me', key } }
const server = { psk: { me: key } }
const secured = () => handshake({ client, server })

/** Something that would notice a corrupted heap or BIO: a handshake and messages both ways. */
function stillWorks(): boolean {
  const pair = secured()
  const [there, back] = [
    say(pair.client, pair.server, 'there'),
    say(pair.server, pair.client, 'back'),
  ]
  end(pair)
  return there === 'there' && back === 'back'
}

function end({ client, server }: Pair): void {
  client.association.destroy()
  server.association.destroy()
}

/** Everything that can be called. Errors are welcome, a crash is not. */
function callAll(association: Association, record: Buffer): string[] {
  const calls: Record<string, () => unknown> = {
    start: () => association.start(record),
    send: () => protect(association, Buffer.from('x')),
    receive: () => association.receive(record),
    tick: () => association.tick(),
    query: () => association.query(),
    export: () => association.exportKeyingMaterial(16, 'label'),
    sleep: () => association.sleep(),
    close: () => association.close(),
    destroy: () => association.destroy(),
  }
  return Object.entries(calls).map(([name, call]) => {
    try {
      call()
      return `${name} returns`
    } catch (error) {
      return `${name} ${(error as { code?: string }).code}`
    }
  })
}

const attempts: Record<string, () => unknown> = {
  'use after free': () => {
    const answers = new Set<string>()
    for (let count = 0; count < 90; count += 1) {
      const pair = secured()
      const record = protect(pair.client.association, Buffer.from('late'))
      if (count % 2 === 0) pair.server.association.close()
      else pair.server.association.destroy()
      // Somebody else's SSL is now where this one was.
      const others = [secured(), secured()]
      for (const answer of callAll(pair.server.association, record)) answers.add(answer)
      if (count % 30 === 0) collect()
      for (const other of others) {
        if (say(other.client, other.server, 'mine') !== 'mine') throw new Error('disturbed')
        end(other)
      }
      end(pair)
    }
    return [...answers].join(', ')
  },

  'double free': async () => {
    for (let count = 0; count < 90; count += 1) {
      const pair = secured()
      for (const { association } of [pair.client, pair.server]) {
        for (const event of ['onClosed', 'onFailed', 'onDatagram', 'onMessage'] as const) {
          alsoTell(association, event, () => {
            association.destroy()
            association.close()
          })
        }
        association.close()
        association.destroy()
      }
      deliver(pair)
      end(pair)
    }
    // Nothing is left for the collector to free.
    collect()
    await new Promise(resolve => setTimeout(resolve, 50))
    collect()
    return 'ended twice'
  },

  'free inside a callback': () => {
    let ended = 0
    for (const how of ['close', 'destroy'] as const) {
      for (let count = 0; count < 40; count += 1) {
        const bystander = secured()
        const pair = createPair({
          client,
          server: {
            psk: () => {
              // Both ends of this handshake, and another one.
              for (const each of [pair.server, pair.client, bystander.server, bystander.client])
                each.association[how]()
              if (count % 20 === 0) collect()
              ended += 1
              return key
            },
          },
        })
        deliver(pair)
        if (pair.server.secured + pair.server.failed.length + pair.server.closed > 0)
          throw new Error('an event after the end')
      }
    }
    return `${ended} ended inside`
  },

  'unpinned buffers': () => {
    const pair = secured()
    const kept: Buffer[] = []
    for (let count = 0; count < 2000; count += 1) {
      const length = 1 + ((count * 37) % 1400)
      const message = Buffer.alloc(length, count)
      const record = protect(pair.client.association, message)
      const litter = Array.from({ length: 50 }, () => Buffer.allocUnsafeSlow(2000).fill(255))
      if (count % 100 === 0) collect()
      if (count === 100) parentPort?.postMessage('at work')
      pair.server.association.receive(record)
      const received = pair.server.messages.pop() as Buffer
      if (litter.length !== 50 || !received.equals(message)) throw new Error(`changed: ${count}`)
      if (count % 10 === 0) kept.push(received)
    }
    collect()
    const whole = kept.every((message, index) =>
      message.every(byte => byte === ((index * 10) & 255)),
    )
    return whole ? 'nothing changed' : 'a kept message changed'
  },

  "closing inside 'message'": () => {
    let delivered = 0
    for (let count = 0; count < 90; count += 1) {
      const pair = secured()
      const { client, server } = pair
      const records = Array.from({ length: 20 }, (_, index) =>
        protect(client.association, Buffer.from(`${index}`)),
      )
      alsoTell(server.association, 'onMessage', (message: Buffer) => {
        delivered += 1
        if (message.toString() !== '3') return
        if (count % 3 === 0) server.association.close()
        else if (count % 3 === 1) server.association.destroy()
        else client.association.destroy()
        if (count % 30 === 0) collect()
      })
      server.association.receive(Buffer.concat(records))
      end(pair)
    }
    return `${delivered} delivered`
  },

  'closing inside every other event': () => {
    for (const event of ['onDatagram', 'onSecured', 'onClosed', 'onFailed', 'onKeylog'] as const) {
      for (const who of ['client', 'server'] as const) {
        for (let skip = 0; skip < 4; skip += 1) {
          const pair = createPair({
            client: { ...client, keylog: true },
            server: { ...server, keylog: true },
          })
          let seen = 0
          const listener = () => {
            seen += 1
            if (seen > skip) end(pair)
          }
          alsoTell(pair.client.association, event, listener)
          alsoTell(pair.server.association, event, listener)
          deliver(pair)
          if (pair[who].association.state === 'secured') pair[who].association.close()
          deliver(pair)
          end(pair)
        }
      }
    }
    return 'ended in each'
  },

  'associations that nobody ends': async () => {
    const rounds: number[] = []
    for (let round = 0; round < 4; round += 1) {
      for (let count = 0; count < 400; count += 1) secured()
      for (let turn = 0; turn < 3; turn += 1) {
        collect()
        await new Promise(resolve => setTimeout(resolve, 20))
      }
      rounds.push(process.memoryUsage.rss() / 2 ** 20)
    }
    const growth = (rounds[3] as number) - (rounds[0] as number)
    // 2,400 of them are 60 MiB at least.
    return growth < 30 ? 'freed by the collector' : `grew by ${growth} MiB`
  },

  'a look-up that throws, through many frames': () => {
    for (let count = 0; count < 60; count += 1) {
      const pair = handshake({
        client,
        server: {
          psk: () => {
            throw count % 2 === 0 ? new RangeError('deep') : 'no Error at all'
          },
        },
      })
      if (pair.server.failed.length !== 1) throw new Error('not told')
    }
    return 'told each time'
  },

  threads: async () => {
    if (!isMainThread) return ''
    const exits = [0, 1, 2].map(
      index =>
        new Promise<number>((resolve, reject) => {
          const worker = new Worker(new URL(import.meta.url), { argv: ['unpinned buffers'] })
          worker.once('error', reject)
          worker.once('exit', resolve)
          // One is stopped in the midst of its work; while it loads native code none may be (docs/api.md).
          if (index === 2) worker.once('message', () => worker.terminate())
        }),
    )
    for (let count = 0; count < 60; count += 1) {
      if (!stillWorks()) throw new Error('disturbed')
      if (count % 20 === 0) await new Promise(setImmediate)
    }
    return `${(await Promise.all(exits)).slice(0, 2)} at the ends of two`
  },
}

const [name = ''] = process.argv.slice(2)
const attempt = attempts[name]
if (attempt === undefined) throw new Error(`no such attempt: ${name}`)
const seen = await attempt()
if (isMainThread) console.log(`${seen}; ${stillWorks() ? 'still works' : 'broken'}`)
