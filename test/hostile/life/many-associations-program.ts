/**
 * A process that opens and closes associations in every way, both ends in it, and says what it holds after a
 * part of them, at the end of them, and when all its sockets are closed.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { utimesSync, writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { parseSettings } from '../../../src/model/settings.js'
import { SecureDgramSocket } from '../../../src/sockets/secure-dgram-socket.js'
import { countOpenssl } from '../../support/openssl-objects.js'
import { held, until } from './held.js'

interface Work {
  readonly count: number
  readonly directory: string
  readonly server: Identity
  readonly client: Identity
  readonly stranger: Identity
  /** Another of the server's, to take the place of the first. */
  readonly renewed: Identity
}

interface Identity {
  readonly cert: string
  readonly key: string
  readonly ca: string
}

const openssl = countOpenssl()
const work: Work = JSON.parse(process.argv[2] as string)
const HOST = '127.0.0.1'
const SOME = 40
/** Of those that are to fail by their time. */
const SOON = 300
/** As many settings are kept for who comes with equal ones (knownLimit, in src/model/settings.ts). */
const SETTINGS_KEPT = 256

const key = Buffer.alloc(16, 7)
const me = { identity: 'me', key }
const mutual = work.client
const { cert, key: privateKey, ca } = work.server
const known = (identity: string) => (identity === 'me' ? key : undefined)

type Name = 'mutual' | 'psk' | 'locked' | 'open' | 'closing' | 'rotated' | 'rekeying' | 'impatient'
const sockets: Record<Name, SecureDgramSocket> = {
  mutual: await server({ ...work.server }),
  psk: await server({ psk: known }),
  locked: await server({ psk: known, handshakeTimeout: SOON }),
  open: await server({ cert, key: privateKey, requestCert: false, alpn: ['one', 'two'] }),
  closing: await server({ ...work.server }, (socket, peer) => socket.closePeer(peer)),
  rotated: await server({ cert: inFile('cert'), key: inFile('key'), ca }),
  // It waits for handshakes that the other end has given up.
  rekeying: await server({ ...work.server, handshakeTimeout: 5 * SOON }),
  impatient: await server({ ...work.server, handshakeTimeout: SOON }),
}
const silent = createSocket('udp4').bind(0, HOST)
await once(silent, 'listening')

const ways: (() => Promise<void>)[] = [
  // Both certificates; the peer stays, and the session too, and is resumed.
  () =>
    ours(mutual, async socket => {
      await exchange(socket, sockets.mutual)
      await socket.closePeer(at(sockets.mutual))
      await exchange(socket, sockets.mutual)
      await socket.querySecurity(at(sockets.mutual))
    }),
  () => ours({ psk: me }, socket => exchange(socket, sockets.psk)),
  () =>
    ours({ ca, alpn: ['two'] }, async socket => {
      await exchange(socket, sockets.open)
      socket.exportKeyingMaterial(at(sockets.open), 32, 'EXPORTER-test')
    }),
  () =>
    ours(mutual, async socket => {
      const closed = once(socket, 'peerClose')
      await socket.secure(at(sockets.closing))
      socket.send('x', sockets.closing.address().port, HOST)
      await closed
    }),
  () => ours(mutual, socket => exchange(socket, sockets.rotated)),
  () =>
    ours({ ...mutual, rekeyAfter: 1 }, async socket => {
      for (let i = 0; i < 3; i++) await exchange(socket, sockets.rekeying)
    }).catch(() => {}),
  // Settings that nobody has had before: a context of their own.
  () => ours({ ...mutual, mtu: 1000 + (turn++ % 9000) }, s => exchange(s, sockets.mutual)),
  // A socket for one peer, which is both at once.
  () =>
    ours(work.server, async socket => {
      socket.bind(0, HOST)
      await once(socket, 'listening')
      await exchange(socket, socket)
      socket.connect(sockets.mutual.address().port, HOST)
      await once(socket, 'connect')
      await socket.secure()
    }),
  // Servers that end, with a peer.
  async () => {
    const short = await server(work.server)
    await ours(mutual, async socket => {
      await exchange(socket, short)
      await short[Symbol.asyncDispose]()
    })
  },
  // Those that fail.
  () => fails(mutual, sockets.impatient, 'another.example'),
  () => fails({ ...mutual, ca: work.stranger.ca }, sockets.impatient),
  () => fails({ ...work.stranger, ca }, sockets.impatient),
  () => fails({ ca }, sockets.impatient),
  () => fails({ psk: { identity: 'me', key: Buffer.alloc(16, 8) } }, sockets.locked),
  () => fails({ psk: { identity: 'you', key } }, sockets.locked),
  () => fails(mutual, silent as unknown as SecureDgramSocket),
  // Those that are given up half-way, by one of the two or by both.
  () => givenUp(0, socket => socket.closePeer(at(sockets.impatient))),
  () => givenUp(1, socket => socket.closePeer(at(sockets.impatient))),
  () => givenUp(2, socket => socket.closePeer(at(sockets.impatient))),
  async () => {
    const short = await server({ ...work.server, handshakeTimeout: SOON })
    await ours({ ...mutual, handshakeTimeout: SOON }, async socket => {
      const secured = socket.secure(at(short))
      secured.catch(() => {})
      await turns(2)
      await short[Symbol.asyncDispose]()
      await secured.catch(() => {})
    })
  },
]

let turn = 0
const figures = []
for (let done = 0; done < work.count; ) {
  if (figures.length > 0 || done < work.count / 5) rotate(done)
  await Promise.all(
    Array.from({ length: SOME }, (_, index) => ways[(done + index) % ways.length]?.()),
  )
  done += SOME
  // What is loaded, compiled and kept for a while comes with the first ones.
  if (figures.length === 0 ? done >= work.count / 5 : done >= work.count)
    figures.push(await quiet())
}
const sums = await closeAll()
await new Promise<void>(resolve => silent.close(() => resolve()))
figures.push(await quiet(), sums)
process.stdout.write(`${JSON.stringify(figures)}\n`)

/** Closes the servers, and forgets them, and says what they have done. */
async function closeAll() {
  const sums = { handshakes: 0, resumed: 0, failed: 0 }
  for (const name of Object.keys(sockets) as Name[]) {
    const { stats } = sockets[name]
    sums.handshakes += stats.handshakes
    sums.resumed += stats.handshakesResumed
    sums.failed += stats.handshakesFailed
    await sockets[name][Symbol.asyncDispose]()
    delete (sockets as Partial<typeof sockets>)[name]
  }
  return sums
}

/** When nobody is secured, or in a handshake, or of use for what comes late. */
async function quiet() {
  for (const socket of Object.values(sockets))
    for (const peer of socket.peers()) socket.closePeer(peer)
  await until(() => openssl().alive.SSL === 0, 60_000)
  // Whoever comes with other settings pushes out what is kept for those who come with equal ones.
  for (let i = 0; i < SETTINGS_KEPT; i++) parseSettings({ handshakeTimeout: 1e6 + i }, 'datagram')
  return await held(openssl)
}

async function server(
  security: DatagramSecuritySettings,
  hears: (socket: SecureDgramSocket, peer: { address: string; port: number }) => void = () => {},
): Promise<SecureDgramSocket> {
  const socket = new SecureDgramSocket({ type: 'udp4', security })
  socket.on('message', (message, { address, port }) => {
    // A socket that speaks to itself hears its own answers.
    if (message.toString() === 'x') socket.send('y', port, address, () => {})
    hears(socket, { address, port })
  })
  socket.bind(0, HOST)
  await once(socket, 'listening')
  return socket
}

/** A socket for as long as it is used. */
async function ours(
  security: DatagramSecuritySettings,
  use: (socket: SecureDgramSocket) => Promise<unknown>,
): Promise<void> {
  const socket = new SecureDgramSocket({ type: 'udp4', security })
  try {
    await use(socket)
  } finally {
    await socket[Symbol.asyncDispose]()
  }
}

async function fails(
  security: DatagramSecuritySettings,
  to: SecureDgramSocket,
  targetName?: string,
): Promise<void> {
  await ours({ ...security, handshakeTimeout: SOON }, async socket => {
    if (targetName !== undefined) socket.setPeerTargetName({ ...at(to), targetName })
    const secured = await socket.secure(at(to)).then(
      // A client hears only later that it was refused.
      () => Promise.race([once(socket, 'peerClose'), once(socket, 'peerError')]),
      () => undefined,
    )
    return secured
  })
}

/** @param after so many turns of the event loop */
async function givenUp(after: number, end: (socket: SecureDgramSocket) => unknown): Promise<void> {
  await ours({ ...mutual, handshakeTimeout: SOON }, async socket => {
    const secured = socket.secure(at(sockets.impatient)).catch(() => {})
    await turns(after)
    end(socket)
    await secured
  })
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(setImmediate)
}

async function exchange(socket: SecureDgramSocket, other: SecureDgramSocket): Promise<void> {
  const answer = once(socket, 'message')
  await new Promise<void>((resolve, reject) => {
    socket.send('x', other.address().port, HOST, error => (error ? reject(error) : resolve()))
  })
  await answer
}

function at(socket: Pick<SecureDgramSocket, 'address'>) {
  return { address: HOST, port: socket.address().port }
}

/** Other credentials for whoever begins from now on. */
function rotate(count: number): void {
  write(count % (2 * SOME) === 0 ? work.renewed : work.server)
}

function inFile(name: string): URL {
  write(work.server)
  return pathToFileURL(`${work.directory}/${name}`)
}

function write(identity: Identity): void {
  for (const name of ['cert', 'key'] as const) {
    const path = `${work.directory}/${name}`
    writeFileSync(path, identity[name], { mode: 0o600 })
    // Files of the future are not waited for.
    utimesSync(path, new Date(), new Date(Date.now() + 60_000 + Math.random() * 1e6))
  }
}
