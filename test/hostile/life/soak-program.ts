/**
 * A process that lives a mixed life for some minutes: streams and datagrams, peers that come, go and come
 * back, keys that are replaced, a path that loses and changes, wrong peers and strangers. Each minute it says
 * on a line what it holds, and ends with 1 if that has grown, or if nothing arrived.
 *
 * node --expose-gc soak-program.mjs '{"minutes": 30, "server": …, "client": …, "stranger": …}'
 */
import dgram from 'node:dgram'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { SecureDgramSocket } from '../../../src/sockets/secure-dgram-socket.js'
import { SecureServer } from '../../../src/sockets/secure-server.js'
import { SecureSocket } from '../../../src/sockets/secure-socket.js'
import { type Random, seededBy } from '../../model/random.js'
import { flipBit } from '../../support/flip-bit.js'
import { countOpenssl } from '../../support/openssl-objects.js'
import { type Held, held } from './held.js'

interface Identity {
  readonly cert: string
  readonly key: string
  readonly ca: string
}

const { minutes, seed, server, client, stranger } = JSON.parse(process.argv[2] as string) as {
  readonly minutes: number
  readonly seed: number
} & Record<'server' | 'client' | 'stranger', Identity>

// Not by OpenSSL itself: node:tls frees objects while garbage is collected.
const openssl = countOpenssl(false)
const random: Random = seededBy(seed)
const HOST = '127.0.0.1'
const key = Buffer.alloc(16, 7)
const timing = { rekeyAfter: 2000, fullHandshakeAfter: 5000, resumeAfter: 1000, idleTimeout: 5000 }
const life = { ...timing, handshakeTimeout: 5000 }
const counts = {
  sent: 0,
  delivered: 0,
  datagramsFailed: 0,
  lost: 0,
  changed: 0,
  strange: 0,
  connections: 0,
  streamsFailed: 0,
  bytes: 0,
  wrong: 0,
}
const end = performance.now() + minutes * 60_000
const isOver = () => performance.now() > end

// Whoever accepts keys gives no tickets, so there are two.
const answering = await answerer({ ...server, ...life })
const keyed = await answerer({ ...life, psk: { me: key } })
const path = await weather(answering.address().port)

const echoing = new SecureServer({ security: { ...server, requestCert: true } }, socket => {
  socket.on('error', () => {}).pipe(socket)
})
echoing.listen(0, HOST)
await once(echoing, 'listening')
const { port: echoPort } = echoing.address() as AddressInfo

const lives = [
  ...Array.from({ length: 6 }, () => repeated(datagramPeer)),
  ...Array.from({ length: 3 }, () => repeated(stream)),
  repeated(wrongPeer),
  repeated(wrongStream),
  repeated(garbage),
]
const figures: Held[] = []
let failure: string | undefined
for (let minute = 1; minute <= minutes; minute++) {
  await pause(Math.max(0, end - (minutes - minute) * 60_000 - performance.now()))
  const figure = await held(openssl)
  figures.push(figure)
  tell(minute, figure)
  if (figures.length > 1) failure ??= grown(figures[0] as Held, figure)
}
await Promise.all(lives)
for (const socket of [answering, keyed]) await socket[Symbol.asyncDispose]()
await new Promise(resolve => echoing.close(resolve))
path.close()
const last = await held(openssl)
tell('end', last)
const { held: references, faults } = last.openssl
failure ??= references.SSL || references.SSL_SESSION ? 'an SSL or a session is left' : undefined
failure ??= references.X509 || references.EVP_PKEY ? 'a certificate or a key is left' : undefined
failure ??= faults[0]
failure ??= counts.delivered === 0 || counts.bytes === 0 ? 'nothing has arrived' : undefined
failure ??=
  counts.wrong > 0 ? 'a wrong peer was let in, or something came that was not sent' : undefined
console.log(failure ? `not ok: ${failure}` : 'ok')
process.exitCode = failure ? 1 : 0

async function answerer(security: DatagramSecuritySettings): Promise<SecureDgramSocket> {
  const socket = new SecureDgramSocket({ type: 'udp4', security })
  socket.on('message', (message, { port, address }) => {
    socket.send(message, port, address, () => {})
  })
  socket.bind(0, HOST)
  await once(socket, 'listening')
  return socket
}

/** What there may be more of, for all that is in its midst, and no more than that. */
function grown(first: Held, now: Held): string | undefined {
  const more = (what: keyof Held) => (now[what] as number) - (first[what] as number)
  const megabytes = (count: number) => count * 1024 * 1024
  if (more('descriptors') > 60) return 'descriptors have become more'
  if (now.resources.length - first.resources.length > 60)
    return 'handles and timers have become more'
  if (now.openssl.callbacks !== first.openssl.callbacks) return 'callbacks have become more'
  if ((now.openssl.held.SSL ?? 0) > 200) return 'there are too many SSLs'
  if (more('heap') > megabytes(12)) return 'the heap has grown'
  if (more('external') > megabytes(12)) return 'what the heap refers to has grown'
  if (more('allocated') > megabytes(24)) return 'the C heap has grown'
  if (more('resident') > megabytes(60)) return 'memory has grown'
  return undefined
}

function tell(when: number | string, figure: Held): void {
  const { resources, descriptors, heap, external, allocated, resident } = figure
  const timers = resources.filter(name => name === 'Timeout').length
  const megabyte = (bytes: number) => (bytes / 1024 / 1024).toFixed(1)
  const { handshakes, handshakesResumed, handshakesFailed, dropped } = answering.stats
  console.log(
    [
      `${when}:`,
      `memory ${megabyte(resident)}, heap ${megabyte(heap)}, external ${megabyte(external)}, C ${megabyte(allocated)} MB;`,
      `${descriptors} descriptors, ${timers} timers, ${resources.length - timers} handles;`,
      `held ${JSON.stringify(figure.openssl.held)}, ${figure.openssl.callbacks} callbacks;`,
      `server ${handshakes} handshakes, ${handshakesResumed} resumed, ${handshakesFailed} failed,`,
      `dropped ${JSON.stringify(dropped)};`,
      JSON.stringify(counts),
    ].join(' '),
  )
}

async function repeated(live: () => Promise<void>): Promise<void> {
  while (!isOver()) await live()
}

/** A peer that comes from its port, says something now and then, and goes: with or without a word. */
async function datagramPeer(): Promise<void> {
  const isPsk = random.below(3) === 0
  const own: DatagramSecuritySettings = isPsk ? { psk: { identity: 'me', key } } : client
  const socket = new SecureDgramSocket({ type: 'udp4', security: { ...own, ...life } })
  const waiting = new Set<string>()
  socket.on('message', message => {
    const text = message.toString('latin1')
    if (waiting.delete(text)) counts.delivered++
    else counts.wrong++
  })
  const direct = isPsk ? keyed : answering
  const port = !isPsk && random.below(2) === 0 ? path.port : direct.address().port
  for (let turn = random.below(40); turn >= 0 && !isOver(); turn--) {
    const text = `${random.below(2 ** 31)} ${'x'.repeat(random.below(1200))}`
    waiting.add(text)
    counts.sent++
    socket.send(text, port, HOST, error => {
      if (error) counts.datagramsFailed++
    })
    if (random.below(20) === 0) socket.closePeer({ address: HOST, port })
    await pause(random.below(200))
  }
  await socket[Symbol.asyncDispose]()
}

async function stream(): Promise<void> {
  const socket = new SecureSocket({ security: client })
  counts.connections++
  socket.on('error', () => {
    counts.streamsFailed++
  })
  socket.on('data', chunk => {
    counts.bytes += chunk.length
  })
  socket.connect(echoPort, HOST)
  const closed = new Promise(resolve => socket.on('close', resolve))
  for (let turn = random.below(10); turn >= 0 && !socket.destroyed; turn--) {
    socket.write(Buffer.alloc(1 + random.below(50_000), turn))
    await pause(random.below(50))
  }
  if (random.below(3) === 0) socket.resetAndDestroy()
  else if (random.below(2) === 0) socket.destroy()
  else socket.end()
  await closed
}

/** Each is refused: of another authority, without a certificate, of another key, or with another name in mind. */
async function wrongPeer(): Promise<void> {
  const { ca } = client
  const security = random.of<DatagramSecuritySettings>([
    { ...stranger, ca },
    { ca },
    { ...client, ca: stranger.ca },
    { psk: { identity: 'me', key: Buffer.alloc(16, 8) } },
    { psk: { identity: 'you', key } },
  ])
  const socket = new SecureDgramSocket({
    type: 'udp4',
    security: { ...security, handshakeTimeout: 1000 },
  })
  socket.on('message', () => counts.wrong++)
  const to = 'psk' in security ? keyed : answering
  socket.send('let me in', to.address().port, HOST, () => {})
  await pause(random.below(1500))
  await socket[Symbol.asyncDispose]()
}

async function wrongStream(): Promise<void> {
  const socket = random.of([
    () => new SecureSocket({ security: { ca: client.ca } }),
    () => new SecureSocket({ security: { ...stranger, ca: client.ca } }),
    () => new SecureSocket({ security: { ...client, ca: stranger.ca } }),
    () => new net.Socket(),
  ])()
  socket.on('error', () => {})
  socket.on('data', chunk => {
    if (chunk.includes('let me in')) counts.wrong++
  })
  socket.connect(echoPort, HOST)
  socket.write('let me in')
  await pause(random.below(300))
  socket.destroy()
}

/** From a stranger, to the server itself and into the path. */
async function garbage(): Promise<void> {
  const socket = dgram.createSocket('udp4')
  socket.on('error', () => {})
  for (let turn = 0; turn < 50; turn++) {
    const bytes = Buffer.from(Array.from({ length: random.below(200) }, () => random.below(256)))
    if (random.below(2) === 0 && bytes.length > 13) {
      bytes[0] = 20 + random.below(6)
      bytes.writeUInt16BE(0xfefd, 1)
      bytes.writeUInt16BE(bytes.length - 13, 11)
    }
    counts.strange++
    socket.send(bytes, random.of([path.port, answering.address().port]), HOST)
    await pause(random.below(10))
  }
  await new Promise<void>(resolve => socket.close(resolve))
}

/** A path that loses, repeats, delays and changes what goes through it; each client has a port of its own behind it. */
async function weather(serverPort: number) {
  const front = dgram.createSocket('udp4')
  const backs = new Map<number, { readonly socket: dgram.Socket; used: number }>()
  front.on('error', () => {})
  front.bind(0, HOST)
  await once(front, 'listening')
  front.on('message', (datagram, { port }) => {
    let back = backs.get(port)
    if (!back) {
      const socket = dgram.createSocket('udp4')
      socket.on('error', () => {})
      socket.on('message', answer => pass(answer, changed => front.send(changed, port, HOST)))
      back = { socket, used: 0 }
      backs.set(port, back)
    }
    back.used = performance.now()
    const { socket } = back
    pass(datagram, changed => {
      if (backs.has(port)) socket.send(changed, serverPort, HOST)
    })
  })
  // It forgets, as a NAT does.
  const forgetting = setInterval(() => {
    for (const [port, { socket, used }] of backs) {
      if (performance.now() - used < 4000) continue
      backs.delete(port)
      socket.close()
    }
  }, 1000)
  const close = () => {
    clearInterval(forgetting)
    for (const { socket } of backs.values()) socket.close()
    backs.clear()
    front.close()
  }
  return { port: front.address().port, close }

  function pass(datagram: Buffer, send: (datagram: Buffer) => void): void {
    if (random.below(100) < 5) {
      counts.lost++
      return
    }
    if (random.below(100) < 3) {
      counts.changed++
      const bit = random.below(datagram.length * 8)
      if (datagram.length > 0) flipBit(datagram, bit)
    }
    const copies = random.below(100) < 3 ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      if (random.below(100) < 20) setTimeout(() => attempt(send, datagram), random.below(30))
      else attempt(send, datagram)
    }
  }

  function attempt(send: (datagram: Buffer) => void, datagram: Buffer): void {
    try {
      send(datagram)
    } catch {
      // It is closed by now.
    }
  }
}
