/**
 * The process of either end is stopped for longer than any timer of a handshake: in the midst of one, and
 * while it is secured. When it goes on so do both, and neither floods the other with what it has missed.
 */
import t from 'tap'
import { seededRandom } from '../../model/random.js'
import { inOneFile } from '../../support/one-file.js'
import { boundSocket, echo, identified } from '../../support/secured-datagrams.js'
import { until } from '../../support/until.js'
import { udpProxy } from '../datagrams/udp-proxy.js'
import { isAll } from '../extent.js'
import { startEnd, talker } from './ends.js'

const skip = process.platform === 'win32' && 'there are no such signals'
const SLEEP = isAll ? 30_000 : 3000
/** For a busy machine. */
const PATIENCE = 90_000
const own = await identified()
const other = await identified(['client.example'])

/** After this many datagrams of its peer's: in its handshake, or beyond. */
const moments = isAll ? [1, 2, 3, 12] : [2]

t.test('either end sleeps', { skip }, async t => {
  const random = seededRandom(t)
  const program = await inOneFile(t, new URL('end-program.ts', import.meta.url))
  const cases: Promise<void>[] = []
  for (const moment of moments) cases.push(clientSleeps(moment), serverSleeps(moment))
  await Promise.all(cases)

  async function clientSleeps(moment: number): Promise<void> {
    const server = await boundSocket(t, own)
    echo(server.socket)
    const proxy = await udpProxy(t, random, server.port)
    const client = await startEnd(t, program, 'client', proxy.port, other)
    await until('it has begun', () => proxy.seen.toClient.length >= moment, PATIENCE)
    await sleeps(`the client, after ${moment}`, client, proxy, () => server.heard.all.length)
  }

  async function serverSleeps(moment: number): Promise<void> {
    const server = await startEnd(t, program, 'server', 0, own)
    const proxy = await udpProxy(t, random, server.port)
    const { heard, stop } = talker(t, proxy.port, other)
    await until('it has begun', () => proxy.seen.toServer.length >= moment, PATIENCE)
    await sleeps(`the server, after ${moment}`, server, proxy, () => heard.all.length)
    stop()
  }

  async function sleeps(
    who: string,
    end: { stop(): void; goOn(): void },
    proxy: Awaited<ReturnType<typeof udpProxy>>,
    heard: () => number,
  ): Promise<void> {
    end.stop()
    const begun = Date.now()
    const flightsBefore = flights(proxy)
    await until('it has slept', () => Date.now() - begun >= SLEEP, PATIENCE)
    const before = heard()
    const woken = Date.now()
    end.goOn()
    await until(`${who}: an answer`, () => heard() > before + 5, PATIENCE)
    // The timers of one handshake: 1, 2, 4, 8 and 16 s, a few datagrams each, of both ends; and what one
    // that begins anew needs.
    const more = flights(proxy) - flightsBefore
    const seconds = (Date.now() - begun) / 1000
    const most = 12 * (2 + Math.ceil(Math.log2(1 + seconds)))
    t.ok(
      more <= most,
      `${who}: ${more} datagrams of handshakes, ${Date.now() - woken} ms after it woke`,
    )
  }
})

/** Datagrams that are not of what is said. */
function flights({ seen }: Awaited<ReturnType<typeof udpProxy>>): number {
  return [...seen.toServer, ...seen.toClient].filter(each => each[0] !== 23).length
}
