/**
 * The process of either end of a stream is stopped for longer than `handshakeTimeout`, in the midst of its
 * handshake. When it goes on, its timer rings before the event loop has seen what waits in the kernel: nobody
 * is given up who has answered, and none spoken to in clear. Who is silent still is given up.
 */
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import t from 'tap'
import type { SecuritySettings } from '../../../src/model/settings.js'
import { testIdentity } from '../../support/identities.js'
import { inOneFile } from '../../support/one-file.js'
import { until } from '../../support/until.js'
import { isAll } from '../extent.js'
import { type Link, type Passage, tcpProxy } from '../streams/tcp-proxy.js'
import { type End, startEnd } from './ends.js'

interface Case {
  readonly security?: SecuritySettings
  readonly version?: 'TLSv1.2'
  /** The flight of the client's that is on its way; of TLS 1.2 it has two before it is secured. */
  readonly flight: number
  /** Nothing more comes from the other end. */
  readonly isSilent?: boolean
}

const skip = process.platform === 'win32' && 'there are no such signals'
const SLEEP = isAll ? 30_000 : 4000
/** The end has as long again when it goes on. */
const handshakeTimeout = SLEEP / 2
const PATIENCE = 90_000
const host = '127.0.0.1'
const { cert, key, ca } = await testIdentity()
const program = await inOneFile(t, new URL('stream-end-program.ts', import.meta.url))

const answered: Record<string, Case> = {
  'TLS 1.3': { flight: 1 },
  'TLS 1.2': { flight: 1, version: 'TLSv1.2' },
  'TLS 1.2, its second flight': { flight: 2, version: 'TLSv1.2' },
  allowInsecure: { flight: 1, security: { allowInsecure: true, guaranteeEncryption: false } },
  ...(isAll ? { 'TLS 1.3, its second flight': { flight: 2 } } : {}),
}
const silent: Case = { flight: 1, isSilent: true }

const timeout = 'ERR_TLS_HANDSHAKE_TIMEOUT'

t.test('our client sleeps, and node:tls has answered', { skip }, async t => {
  const server = tls.createServer({ cert, key }, socket =>
    socket.on('error', () => {}).pipe(socket),
  )
  t.teardown(() => server.close())
  server.listen(0, host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await Promise.all([
    ...Object.entries(answered).map(async ([what, each]) => {
      const { lines } = await sleeper(each)
      await until(`${what}: it has heard`, () => lines.includes('heard word'), PATIENCE)
      t.same(told(lines), ['connect', 'heard word', 'written well'], what)
    }),
    (async () => {
      const { lines } = await sleeper(silent)
      await until('it has ended', () => lines.includes('close'), PATIENCE)
      t.same(told(lines), ['close', `error ${timeout}`, `written ${timeout}`], 'a silent server')
    })(),
  ])

  async function sleeper({ security, version, ...moment }: Case): Promise<End> {
    let end: End | undefined
    const { passage, slept } = napAt(moment, () => end as End)
    const proxy = await tcpProxy(t, port, passage)
    const own = { ca, handshakeTimeout, ...(version && { maxVersion: version }), ...security }
    end = await startEnd(t, program, 'client', proxy.port, own)
    await slept
    return end
  }
})

t.test('our server sleeps, and node:tls has said its part', { skip }, async t => {
  await Promise.all([
    ...Object.entries(answered).map(async ([what, each]) => {
      const { lines, words } = await sleeper(each)
      await until(`${what}: the client has heard`, () => words() === 'word', PATIENCE)
      t.same(told(lines), ['connection', 'heard word'], what)
    }),
    (async () => {
      const { lines } = await sleeper(silent)
      await until('it has told', () => told(lines).length > 0, PATIENCE)
      t.same(told(lines), [`refused ${timeout}`], 'a silent client')
    })(),
  ])

  async function sleeper({
    security,
    version,
    ...moment
  }: Case): Promise<End & { words: () => string }> {
    const own = { cert, key, handshakeTimeout, ...security }
    const end = await startEnd(t, program, 'server', 0, own)
    const { passage, slept } = napAt(moment, async () => {
      // What waits unaccepted in the kernel has no timer yet.
      await until('it has accepted', () => end.lines.includes('accepted'), PATIENCE)
      return end
    })
    const proxy = await tcpProxy(t, end.port, passage)
    const client = tls.connect({
      port: proxy.port,
      host,
      ca,
      ...(version && { maxVersion: version }),
    })
    t.teardown(() => client.destroy())
    let words = ''
    client.on('error', () => {})
    client.on('data', data => {
      words += data
    })
    client.write('word')
    await slept
    return { ...end, words: () => words }
  }
})

/** Puts an end to sleep when that flight of the client's comes by, which is passed on behind that. */
function napAt(
  { flight, isSilent = false }: Case,
  endOf: () => End | Promise<End>,
): { passage: Passage; slept: Promise<void> } {
  let count = 0
  let hasSlept = () => {}
  const slept = new Promise<void>(resolve => {
    hasSlept = resolve
  })
  const passage: Passage = (bytes, direction, link) => {
    if (direction === 'toClient') return bytes
    count += 1
    if (count !== flight) return bytes
    nap(bytes, link)
    return undefined
  }
  return { passage, slept }

  async function nap(bytes: Buffer, link: Link): Promise<void> {
    link.client.pause()
    const end = await endOf()
    await until('it waits', idle(end.pid), PATIENCE)
    end.stop()
    if (isSilent) link.freeze()
    else link.server.write(bytes)
    link.client.resume()
    const begun = performance.now()
    await until('it has slept', () => performance.now() - begun >= SLEEP, PATIENCE)
    end.goOn()
    hasSlept()
  }
}

/**
 * Has the process waited for events for a while? Where it is stopped in the midst of something else, it
 * looks at its sockets first when it goes on. Where there is no /proc, that it does not know.
 */
function idle(pid: number): () => boolean {
  const stat = `/proc/${pid}/stat`
  let count = 0
  return () => {
    if (!existsSync(stat)) return true
    count = /\) S /.test(readFileSync(stat, 'latin1')) ? count + 1 : 0
    return count === 10
  }
}

/** What it has told, but for what it is asked for here. */
function told(lines: readonly string[]): string[] {
  return lines.filter(line => !/^(listening|accepted)/.test(line)).sort()
}
