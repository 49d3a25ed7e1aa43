/**
 * Strangers at up to ten thousand addresses of 127.0.0.0/8, a plain socket each, so many at once. It does
 * one flood after the other, as it is told by messages, and says what was sent and what came back.
 */
import dgram from 'node:dgram'
import { bytesOf, type Random, seededBy } from '../../model/random.js'
import { record } from '../../providers/dtls/hellos.js'
import type { Flood, FloodKind, Report } from './flood.js'
import { claim, cookieIn, pieces, Stranger } from './strangers.js'

/** The number of the record whose answer tells that all that was sent before was dealt with. */
const MARK = Buffer.from('00000000ba5e0000', 'hex')
/** Milliseconds after which an answer is asked for again, since a socket that is flooded loses some. */
const AGAIN = 250
const MOST_TIMES = 40
/** Of a Certificate, in bytes, for OpenSSL. */
const LONGEST = 102_400

/** A stranger and its socket. */
interface Visit {
  readonly stranger: Stranger
  readonly random: Random
  send(datagram: Buffer): Promise<void>
  /** Its hello, until a cookie comes. */
  challenge(): Promise<Buffer>
  /** Sends this until a ServerHello comes; false where none does. */
  begin(...hello: Buffer[]): Promise<boolean>
}

let stopped = false
let flood: Flood
let report: { -readonly [name in keyof Report]: Report[name] }
/** A cookie of the visit before, and whose it was. */
let stolen: { cookie: Buffer; random: Buffer } | undefined
let begun = 0

process.on('disconnect', () => process.exit())
process.on('message', (given: Flood | 'stop') => {
  if (given === 'stop') stopped = true
  else run(given)
})
process.send?.('here')

async function run(given: Flood): Promise<void> {
  flood = given
  stopped = false
  begun = performance.now()
  report = { datagrams: 0, sent: 0, received: 0, answers: 0, worst: 0, welcomed: 0, other: 0 }
  let next = 0
  const visitor = async () => {
    for (let index = next++; index < flood.addresses && !stopped; index = next++) await visit(index)
  }
  await Promise.all(Array.from({ length: Math.min(flood.atOnce, flood.addresses) }, visitor))
  process.send?.(report)
}

async function visit(index: number): Promise<void> {
  const socket = dgram.createSocket('udp4')
  const random = seededBy(flood.seed + index)
  const stranger = new Stranger(bytesOf(random, 32))
  let [sent, received] = [0, 0]
  let heard: (datagram: Buffer) => void = () => {}
  // Somebody has answered who is gone, or will be.
  socket.on('error', () => {})
  socket.on('message', datagram => {
    const isMarked = datagram.subarray(3, 11).equals(MARK)
    if (!isMarked) {
      received += datagram.length
      report.answers += 1
      if (cookieIn(datagram) === undefined) report.other += 1
    }
    heard(datagram)
  })
  const until = (question: Buffer[], isAnswer: (datagram: Buffer) => boolean) =>
    new Promise<Buffer | undefined>(resolve => {
      let times = 0
      const ask = () => {
        times += 1
        if (times > MOST_TIMES) finish(undefined)
        else for (const each of question) socket.send(each)
      }
      const timer = setInterval(ask, AGAIN)
      const finish = (answer: Buffer | undefined) => {
        clearInterval(timer)
        resolve(answer)
      }
      heard = datagram => {
        if (isAnswer(datagram)) finish(datagram)
      }
      ask()
    })
  const marked = Buffer.from(stranger.hello())
  marked.set(MARK, 3)
  const challenge = async () => {
    const isAnswer = (each: Buffer) =>
      each.subarray(3, 11).equals(MARK) && cookieIn(each) !== undefined
    const answer = await until([marked], isAnswer)
    if (answer === undefined) throw new Error('no HelloVerifyRequest came')
    return Buffer.from(cookieIn(answer) as Buffer)
  }
  await new Promise<void>(resolve => {
    socket.bind({ address: addressOf(index), port: 0, exclusive: true }, () =>
      socket.connect(flood.port, '127.0.0.1', resolve),
    )
  })
  await visits[flood.what]({
    stranger,
    random,
    challenge,
    async send(datagram) {
      socket.send(datagram)
      sent += datagram.length
      report.datagrams += 1
      await turn()
    },
    begin: async (...hello) =>
      (await until(hello, each => each[0] === 22 && each[13] === 2)) !== undefined,
  })
  if (flood.what in beforeCookie) {
    // What came before its answer has been dealt with, and answered.
    stolen = { cookie: await challenge(), random: stranger.random }
    report.worst = Math.max(report.worst, received / sent)
  }
  report.sent += sent
  report.received += received
  await new Promise<void>(resolve => socket.close(resolve))
}

/** What they do who never show that they receive at their address. */
const beforeCookie = {
  async hellos({ stranger, send }: Visit) {
    for (let i = 0; i < flood.each; i++) await send(stranger.hello())
  },

  async 'wrong cookies'({ stranger, random: own, send }: Visit) {
    for (let i = 0; i < flood.each; i++) {
      await send(stranger.hello(bytesOf(own, 32)))
      await send(stranger.hello(bytesOf(own, i % 64)))
      if (flood.old !== undefined) {
        const { cookie, random } = flood.old
        await send(stranger.hello(Buffer.from(cookie, 'hex'), Buffer.from(random, 'hex')))
      }
      // That of another address, whole, with its own random, and in the place of a first message.
      if (stolen === undefined) continue
      const { cookie, random } = stolen
      await send(stranger.hello(cookie, random))
      await send(stranger.hello(cookie))
      const first = Buffer.from(stranger.hello(cookie, random))
      first.writeUInt16BE(0, 17)
      await send(first)
    }
  },

  async pieces({ stranger, send }: Visit) {
    const hello = stranger.hello().subarray(25)
    const tiny = pieces(1, 0, hello, 1)
    for (let i = 0; i < flood.each; i++) {
      await send(tiny[i % tiny.length] as Buffer)
      for (const datagram of oversized) await send(datagram)
    }
  },

  async garbage({ random, send }: Visit) {
    for (let i = 0; i < flood.each; i++) await send(garbage(i, random))
  },
}

/** What they do who have shown it. */
const afterCookie = {
  async 'half-open'({ stranger, challenge, begin }: Visit) {
    await turn(report.welcomed)
    if (await begin(stranger.hello(await challenge()))) report.welcomed += 1
  },

  /** Every byte in a datagram of its own, of a hello or of what follows it, for as long as they may. */
  async 'byte by byte'({ stranger, challenge, begin, send }: Visit) {
    const cookie = await challenge()
    const isOfHello = report.welcomed % 2 === 1
    const [first, ...rest] = stranger.helloInPieces(cookie, 1)
    const later = isOfHello ? rest.slice(0, -1) : pieces(11, 2, Buffer.alloc(1000), 1)
    report.welcomed += 1
    if (isOfHello) await send(first as Buffer)
    else if (!(await begin(stranger.hello(cookie)))) report.welcomed -= 1
    for (let i = 0; !stopped; i++) {
      await send(later[i % later.length] as Buffer)
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  },

  /** Of certificates as long as they may be, a byte of each page; and of those that would follow them. */
  async 'large messages'({ stranger, challenge, begin, send }: Visit) {
    if (!(await begin(stranger.hello(await challenge())))) return
    report.welcomed += 1
    for (let sequence = 2; sequence < 14; sequence++)
      for (let offset = 0; offset < LONGEST; offset += 4096)
        await send(claim(11, sequence, LONGEST, offset, Buffer.of(offset & 255)))
  },

  /** Records of epoch 1, for which there are no keys yet, and garbage. */
  async 'early records'({ stranger, random, challenge, begin, send }: Visit) {
    if (!(await begin(stranger.hello(await challenge())))) return
    report.welcomed += 1
    for (let i = 0; i < flood.each; i++) {
      await send(record(20 + (i % 4), 1, bytesOf(random, 40 + (i % 8) * 150), i))
      await send(garbage(i, random))
    }
  },
}

const visits: Record<FloodKind, (visit: Visit) => Promise<void>> = {
  ...beforeCookie,
  ...afterCookie,
}

/** Fragments and records that say of themselves that they are larger than they can be. */
const oversized = [
  claim(1, 0, 0xffffff, 0, Buffer.alloc(100)),
  claim(1, 0, 0xffffff, 0, Buffer.alloc(100), 0xffffff),
  claim(1, 0, 100, 0, Buffer.alloc(100), 200),
  claim(1, 1, 131_396, 131_000, Buffer.alloc(396)),
  claim(11, 9, 102_400, 0, Buffer.alloc(16_000)),
  record(22, 0, Buffer.alloc(17_000, 1)),
  Buffer.from(record(22, 0, Buffer.alloc(60_000, 0xff))),
]

/** Of any length, and every second one with the header of a record that fits. */
function garbage(index: number, random: Random): Buffer {
  const datagram = bytesOf(random, 1 + ((index * 37) % 400))
  if (index % 2 === 0 || datagram.length < 26) return datagram
  datagram[0] = 20 + (index % 5)
  datagram.writeUInt16BE(0xfefd, 1)
  datagram.writeUInt16BE(index % 3, 3)
  datagram.writeUInt16BE(datagram.length - 13, 11)
  // A ClientHello would be answered, which other floods see.
  if (datagram[13] === 1) datagram[13] = 2
  return datagram
}

/** Lets others have their turn, and keeps to the pace that was given. */
async function turn(done = report.datagrams): Promise<void> {
  const { perSecond } = flood
  if (perSecond !== undefined) {
    const ahead = (done * 1000) / perSecond - (performance.now() - begun)
    if (ahead > 1) await new Promise(resolve => setTimeout(resolve, ahead))
  } else if (done % 32 === 0) await new Promise(setImmediate)
}

function addressOf(index: number): string {
  return `127.${64 + (index >> 14)}.${(index >> 7) & 127}.${1 + (index & 127)}`
}
