/**
 * The process of either end is killed at a datagram of the handshake, or after it, and started again on the
 * same port: ours, and OpenSSL's. Every point, by a clock that is told: reboots.test.ts.
 */
import t, { type Test } from 'tap'
import { files } from '../../interop/files.js'
import { sClient, sServerAt } from '../../interop/openssl.js'
import { seededRandom } from '../../model/random.js'
import { requireProgram } from '../../support/foreign-program.js'
import { inOneFile } from '../../support/one-file.js'
import { boundSocket, echo, identified } from '../../support/secured-datagrams.js'
import { until } from '../../support/until.js'
import { type Direction, type UdpProxy, udpProxy } from '../datagrams/udp-proxy.js'
import { isAll } from '../extent.js'
import { startEnd, talker } from './ends.js'

/** For a busy machine, and for what ends by time. */
const PATIENCE = 90_000
/** A server that was killed in the midst of a handshake is asked in vain for so long. */
const limits = { handshakeTimeout: 5000, resumeAfter: 2000 }
const own = { ...(await identified()), ...limits }
const other = { ...(await identified(['client.example'])), ...limits }
/** Before this datagram of the way to the other end, as it counts: in the handshake, or beyond. */
const moments = isAll ? [0, 1, 2, 3, 8] : [1]
const withOpenssl = isAll ? [0, 1, 2, 3] : [2]
/** While it starts, s_server keeps what was meant for the one before, and mixes a flight of that with its own handshake. */
const withServer = isAll ? [0, 8] : [8]

t.test('ours is killed', async t => {
  const random = seededRandom(t)
  const program = await inOneFile(t, new URL('end-program.ts', import.meta.url))
  for (const moment of moments) await Promise.all([client(moment), server(moment)])

  async function client(moment: number): Promise<void> {
    const us = await boundSocket(t, own)
    echo(us.socket)
    const proxy = await udpProxy(t, random, us.port)
    const old = await startEnd(t, program, 'client', proxy.port, other)
    await arrival(proxy, 'toClient', moment, () => void old.kill())
    await old.kill()
    const next = await startEnd(t, program, 'client', proxy.port, other)
    await until(`client, ${moment}`, () => next.heard().length > 3, PATIENCE)
    const strange = next.heard().filter(text => !text.startsWith(`${next.pid}:`))
    t.same(strange, [], `client, ${moment}: it hears nothing that was said to the one before`)
    t.equal(us.socket.peers().length, 1)
  }

  async function server(moment: number): Promise<void> {
    const old = await startEnd(t, program, 'server', 0, own)
    const proxy = await udpProxy(t, random, old.port)
    const { heard, words } = talker(t, proxy.port, other)
    await arrival(proxy, 'toServer', moment, () => void old.kill())
    await old.kill()
    const next = await startEnd(t, program, 'server', old.port, own)
    const before = heard.all.length
    await until(`server, ${moment}`, () => heard.all.length > before + 3, PATIENCE)
    const all = [...old.heard(), ...next.heard()]
    t.equal(
      new Set(all).size,
      all.length,
      `server, ${moment}: neither hears what the other has heard`,
    )
    t.ok(all.filter(text => text !== '').every(text => words.includes(`${text}\n`)))
  }
})

t.test('openssl s_client is killed', async t => {
  if (!requireProgram(t, 'openssl')) return
  const random = seededRandom(t)
  const args = ['-dtls1_2', ...shown(t, other)]
  for (const moment of withOpenssl) {
    const us = await boundSocket(t, own)
    echo(us.socket)
    const proxy = await udpProxy(t, random, us.port)
    const old = sClient(t, proxy.port, ...args)
    // The answer to it is beyond the handshake.
    old.type('the first life\n')
    await arrival(proxy, 'toClient', moment, () => void old.stop())
    await old.stop()
    const next = sClient(t, proxy.port, ...args)
    next.type('the second life\n')
    await next.said(/^the second life$/m, PATIENCE)
    const heard = us.heard.all.map(({ text }) => text).filter(text => text !== 'the first life\n')
    t.same(heard, ['the second life\n'], `after ${moment}`)
    await next.stop()
  }
})

t.test('openssl s_server is killed', async t => {
  if (!requireProgram(t, 'openssl')) return
  const random = seededRandom(t)
  const args = ['-dtls1_2', '-verify', '1', ...shown(t, own)]
  for (const moment of withServer) {
    // A port that nobody else has taken: ours, for a moment.
    const { socket, port } = await boundSocket(t, own)
    await socket[Symbol.asyncDispose]()
    const { program: old } = await sServerAt(t, port, ...args)
    const proxy = await udpProxy(t, random, port)
    talker(t, proxy.port, other)
    await arrival(proxy, 'toServer', moment, () => void old.stop())
    await old.stop()
    const { program: next } = await sServerAt(t, port, ...args)
    await next.said(/word \d+\n/, PATIENCE)
    t.pass(`after ${moment}: it hears us`)
    await next.stop()
  }
})

/** In the moment in which this datagram would pass, which it does not. */
async function arrival(
  proxy: UdpProxy,
  direction: Direction,
  index: number,
  then: () => void,
): Promise<void> {
  let came = false
  proxy.passage = (_datagram, way, number) => {
    if (came || way !== direction || number !== index) return undefined
    came = true
    then()
    return []
  }
  await until(`datagram ${index} ${direction}`, () => came, PATIENCE)
}

function shown(t: Test, { cert, key, ca }: { cert: string; key: string; ca: string }): string[] {
  const paths = files(t)({ cert, key, ca })
  return ['-cert', paths.cert, '-key', paths.key, '-CAfile', paths.ca]
}
