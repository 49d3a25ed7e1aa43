/**
 * Records may stay in OpenSSL's output until somebody reads the place where they are to go. Whatever
 * is done with OpenSSL meanwhile, each one gets to its place, whole; or none of them leaves.
 */
import { runInThisContext } from 'node:vm'
import t, { type Test } from 'tap'
import { type Arena, createArena } from '../../../lib/memory.js'
import { RECORD_OVERHEAD } from '../../../src/providers/dtls/association.js'
import { openssl } from '../../../src/providers/dtls/openssl.js'
import { type End, handshake, type Pair, say } from './pair.js'

const psk = { identity: 'device', key: Buffer.alloc(16, 7) }
const suites = ['PSK-AES128-GCM-SHA256', 'PSK-CHACHA20-POLY1305', 'PSK-AES128-CCM8']

function secured(ciphers = suites[0]): Pair {
  const pair = handshake({ client: { psk, ciphers }, server: { psk: { device: psk.key } } })
  // The length of the first record is what tells that of the others.
  say(pair.client, pair.server, 'first')
  say(pair.server, pair.client, 'first')
  return pair
}

/** Where datagrams wait to leave, as in a channel: one behind the other. */
class Outgoing {
  readonly arena: Arena = createArena(64 * 1024)
  readonly #datagrams: { to: End; start: number; end: number }[] = []
  #end = 0
  fill: (() => void) | undefined
  fills = 0

  constructor() {
    this.arena.bytes.fill(0)
  }

  send(from: End, to: End, text: string): void {
    const length = from.association.send(Buffer.from(text), this.slot)
    this.#datagrams.push({ to, start: this.#end, end: this.#end + length })
    this.#end += length
  }

  get slot() {
    return {
      arena: this.arena,
      offset: this.#end,
      owe: (fill: () => void) => {
        this.fill = fill
        this.fills += 1
      },
    }
  }

  /** Leaves room for something else. */
  skip(bytes: number): void {
    this.#end += bytes
  }

  get bytes(): Buffer {
    return this.arena.bytes.subarray(0, this.#end)
  }

  /** Everything leaves and arrives. */
  deliver(): void {
    this.fill?.()
    for (const { to, start, end } of this.#datagrams.splice(0))
      to.association.receive(Buffer.from(this.arena.bytes.subarray(start, end)))
  }
}

const textsOf = (end: End) => end.messages.splice(0).map(String)

/** Both directions of a pair still work, and nothing of others is in the BIO. */
function worksOn(t: Test, { client, server }: Pair): void {
  t.equal(say(client, server, 'there'), 'there')
  t.equal(say(server, client, 'back'), 'back')
}

for (const ciphers of suites) {
  t.test(`what is owed arrives: ${ciphers}`, async t => {
    const [one, other] = [secured(ciphers), secured(ciphers)]
    for (const { server } of [one, other]) textsOf(server)
    const outgoing = new Outgoing()
    const texts = Array.from({ length: 20 }, (_, index) => `${index}`.padEnd(1 + index * 61, 'x'))
    for (const text of texts) {
      outgoing.send(one.client, one.server, text)
      outgoing.send(other.client, other.server, `to the other: ${text}`)
    }
    outgoing.deliver()
    t.same(textsOf(one.server), texts)
    t.same(
      textsOf(other.server),
      texts.map(text => `to the other: ${text}`),
    )
  })
}

t.test('nothing is owed to who has not asked for it, or before its length is known', async t => {
  const { client, server } = handshake({ client: { psk }, server: { psk: { device: psk.key } } })
  const outgoing = new Outgoing()
  outgoing.send(client, server, 'first')
  t.equal(outgoing.fill, undefined)
  t.not(outgoing.bytes[0], 0, 'it stands there')
  const { offset } = outgoing.slot
  outgoing.send(client, server, 'second')
  t.type(outgoing.fill, 'function')
  t.equal(outgoing.bytes[offset], 0, 'it does not stand there yet')
  const plain = { arena: createArena(1024), offset: 3 }
  const length = client.association.send(Buffer.from('third'), plain)
  t.not(outgoing.bytes[offset], 0, 'it does')
  outgoing.deliver()
  server.association.receive(Buffer.from(plain.arena.bytes.subarray(3, 3 + length)))
  t.same(textsOf(server), ['first', 'second', 'third'])
})

t.test('many are read at once, but not too many', async t => {
  const pair = secured()
  textsOf(pair.server)
  const outgoing = new Outgoing()
  const text = 'm'.repeat(1200)
  for (let count = 0; count < 40; count += 1) outgoing.send(pair.client, pair.server, text)
  t.ok(outgoing.fills > 1 && outgoing.fills < 5, `${outgoing.fills} reads for 40`)
  outgoing.deliver()
  t.same(textsOf(pair.server), Array(40).fill(text))
})

t.test('whatever else is done with OpenSSL, what was owed stands in its place before', async t => {
  const [pair, other] = [secured(), secured()]
  const third = secured()
  const doings: Record<string, () => void> = {
    'a handshake': () => worksOn(t, secured()),
    'a message that comes': () => t.equal(say(other.client, other.server, 'hello'), 'hello'),
    'an answer in the same association': () => say(pair.server, pair.client, 'answer'),
    'an end': () => third.client.association.close(),
    'its ending': () => third.server.association.destroy(),
  }
  for (const [name, doing] of Object.entries(doings)) {
    textsOf(pair.server)
    const outgoing = new Outgoing()
    outgoing.send(pair.client, pair.server, `before ${name}`)
    doing()
    t.not(outgoing.bytes[0], 0, `${name}: it stands there`)
    outgoing.send(pair.client, pair.server, `after ${name}`)
    outgoing.deliver()
    t.same(textsOf(pair.server), [`before ${name}`, `after ${name}`])
    worksOn(t, pair)
  }
  t.equal(third.client.waiting.length, 1, 'its close_notify has nothing else in it')
  t.equal(third.client.waiting[0]?.[0], 21)
})

t.test('what does not follow begins anew', async t => {
  const pair = secured()
  textsOf(pair.server)
  const outgoing = new Outgoing()
  outgoing.send(pair.client, pair.server, 'one')
  outgoing.skip(100)
  outgoing.send(pair.client, pair.server, 'two')
  t.equal(outgoing.fills, 2)
  outgoing.deliver()
  t.same(textsOf(pair.server), ['one', 'two'])
})

t.test('what an acceptor of keys sends from inside a handshake is owed, too', async t => {
  const pair = secured()
  textsOf(pair.server)
  const outgoing = new Outgoing()
  const key = () => {
    outgoing.send(pair.client, pair.server, 'from inside')
    return psk.key
  }
  const { client, server } = handshake({ client: { psk }, server: { psk: key } })
  t.same([client.secured, server.secured], [1, 1])
  t.ok(
    server.sent.every(datagram => datagram[0] !== 23),
    'its flights have nothing else in them',
  )
  outgoing.deliver()
  t.same(textsOf(pair.server), ['from inside'])
})

/** Calls that, and cuts it off as soon as OpenSSL has made a record. */
function cutOffAfterWriting(call: () => void): void {
  const lib = openssl().lib as { SSL_write: (...args: number[]) => number }
  const { SSL_write } = lib
  lib.SSL_write = (...args) => {
    lib.SSL_write = SSL_write
    lib.SSL_write(...args)
    for (;;);
  }
  Object.assign(globalThis, { call })
  try {
    runInThisContext('call()', { timeout: 50 })
  } catch {
    // As was wanted.
  } finally {
    lib.SSL_write = SSL_write
    Reflect.deleteProperty(globalThis, 'call')
  }
}

for (const before of [0, 1, 2]) {
  t.test(
    `a script's timeout between the two calls costs that message, after ${before}`,
    async t => {
      const [pair, cut] = [secured(), secured()]
      textsOf(pair.server)
      const outgoing = new Outgoing()
      const texts = ['one', 'two'].slice(0, before)
      for (const text of texts) outgoing.send(pair.client, pair.server, text)
      cutOffAfterWriting(() => outgoing.send(cut.client, cut.server, 'never'))
      for (const text of ['three', 'four']) outgoing.send(pair.client, pair.server, text)
      outgoing.deliver()
      t.same(textsOf(pair.server), [...texts, 'three', 'four'])
      worksOn(t, pair)
      worksOn(t, secured())
    },
  )
}

t.test('the same without a place to owe to', async t => {
  const [pair, cut] = [secured(), secured()]
  cutOffAfterWriting(() => say(cut.client, cut.server, 'never'))
  worksOn(t, pair)
})

t.test('what nobody knows of in the BIO: none of what was owed leaves', async t => {
  const pair = secured()
  textsOf(pair.server)
  const outgoing = new Outgoing()
  outgoing.send(pair.client, pair.server, 'one')
  const { lib, output, scratch } = openssl()
  lib.BIO_write(output, scratch.address, 5)
  outgoing.send(pair.client, pair.server, 'two')
  t.throws(() => outgoing.deliver(), { code: 'EPROTO' })
  t.doesNotThrow(() => outgoing.deliver(), 'once')
  textsOf(pair.server)
  worksOn(t, pair)

  outgoing.send(pair.client, pair.server, 'three')
  lib.BIO_ctrl(output, 1, 0, 0)
  t.throws(() => outgoing.deliver(), { code: 'EPROTO' })
  worksOn(t, pair)
})

t.equal(RECORD_OVERHEAD >= 37 + 1, true, 'there is a byte to spare behind each record')
