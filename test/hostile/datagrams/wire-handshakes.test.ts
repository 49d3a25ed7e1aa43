/**
 * A sample of the tables of simulated handshakes once more, with real sockets and real time: against
 * ourselves and against OpenSSL's own client.
 */
import t from 'tap'
import { files } from '../../interop/files.js'
import { sClient } from '../../interop/openssl.js'
import { seededRandom } from '../../model/random.js'
import { requireProgram } from '../../support/foreign-program.js'
import { testIdentity } from '../../support/identities.js'
import {
  boundSocket,
  datagramSocket,
  identified,
  inbox,
  LOOPBACK,
} from '../../support/secured-datagrams.js'
import { until } from '../../support/until.js'
import { isAll } from '../extent.js'
import { type Direction, isSaidInClear, udpProxy } from './udp-proxy.js'

/** A timer of a second, twice where it is the other end's turn; a busy machine takes longer. */
const PATIENCE = 30_000
const own = await identified()
const other = await identified(['client.example'])
const key = Buffer.alloc(32, 3)
const kinds = [
  { name: 'certificates of both', client: other, server: own },
  {
    name: 'a certificate of the server',
    client: { ca: own.ca },
    server: { ...own, requestCert: false },
  },
  {
    name: 'a pre-shared key',
    client: { psk: { identity: 'sensor', key } },
    server: { psk: { sensor: key } },
  },
]

for (const kind of kinds)
  t.test(`each datagram is lost once: ${kind.name}`, async t => {
    const random = seededRandom(t)
    const cases: Promise<void>[] = []
    for (const direction of ['toServer', 'toClient'] as const)
      for (const mtu of isAll ? [1200, 256] : [1200])
        for (let index = 0; index < (mtu === 256 ? 6 : 3); index++)
          cases.push(lose(t, random, kind, direction, index, mtu))
    await Promise.all(cases)
  })

async function lose(
  t: Parameters<typeof seededRandom>[0],
  random: ReturnType<typeof seededRandom>,
  kind: (typeof kinds)[number],
  direction: Direction,
  index: number,
  mtu: number,
): Promise<void> {
  const server = await boundSocket(t, { ...kind.server, mtu })
  server.socket.on('message', (message, from) =>
    server.socket.send(message, from.port, from.address),
  )
  const proxy = await udpProxy(t, random, server.port)
  let dropped = 0
  proxy.passage = (datagram, way, number) => {
    // What is said is not sent again, so it is not lost here: only clear flights, and their ends.
    if (way !== direction || number !== index || datagram[0] === 23) return undefined
    dropped += 1
    return []
  }
  const client = datagramSocket(t, { security: { ...kind.client, mtu } })
  const heard = inbox(client)
  let said = 0
  const what = `${direction}, ${index}, mtu ${mtu}`
  await until(
    `${what}: an answer`,
    () => {
      if (said === 0 || (client.peers().length > 0 && said < 50)) {
        said += 1
        client.send(`word ${said}`, proxy.port, LOOPBACK, () => {})
      }
      return heard.all.length > 0
    },
    PATIENCE,
  )
  t.ok(dropped <= 1 && heard.all.every(({ text }) => /^word \d+$/.test(text)), what)
  if (index < 2) t.equal(dropped, 1, `${what} was lost`)
  t.equal(new Set(heard.all.map(({ text }) => text)).size, heard.all.length, 'nothing comes twice')
  t.notOk(isSaidInClear(proxy, 'word '), `${what}: nothing in clear`)
}

t.test('openssl s_client: each datagram is lost once', async t => {
  if (requireProgram(t, 'openssl') === undefined) return
  const random = seededRandom(t)
  const save = files(t)
  const { cert, key } = await testIdentity(['client.example'])
  const paths = save({ cert, key, ca: own.ca })
  const cases: Promise<void>[] = []
  for (const direction of ['toServer', 'toClient'] as const)
    for (let index = 0; index < 3; index++) cases.push(loseOfOpenssl(direction, index))
  await Promise.all(cases)

  async function loseOfOpenssl(direction: Direction, index: number) {
    const us = await boundSocket(t, own)
    us.socket.on('message', (message, from) => us.socket.send(message, from.port, from.address))
    const proxy = await udpProxy(t, random, us.port)
    let dropped = 0
    proxy.passage = (datagram, way, number) => {
      if (way !== direction || number !== index || datagram[0] === 23) return undefined
      dropped += 1
      return []
    }
    const credentials = ['-cert', paths.cert, '-key', paths.key, '-CAfile', paths.ca]
    const client = sClient(t, proxy.port, '-dtls1_2', ...credentials, '-verify_return_error')
    await until('it is secured', () => us.socket.peers().length > 0, PATIENCE)
    await client.said(/Verify return code: 0/, PATIENCE)
    client.type('through the weather\n')
    await client.said(/through the weather\n/, PATIENCE)
    t.equal(dropped, 1, `${direction}, ${index}`)
    t.equal(us.heard.all.length, 1)
    t.notOk(isSaidInClear(proxy, 'through the weather'), `${direction}, ${index}: nothing in clear`)
  }
})

t.test('a tenth is lost, repeated, swapped and cut, and all come late', async t => {
  const random = seededRandom(t)
  await Promise.all(
    Array.from({ length: isAll ? 30 : 2 }, async (_, number) => {
      const kind = kinds[number % kinds.length] as (typeof kinds)[number]
      const server = await boundSocket(t, { ...kind.server, mtu: 512 })
      server.socket.on('message', (message, from) =>
        server.socket.send(message, from.port, from.address),
      )
      const proxy = await udpProxy(t, random, server.port)
      // No bit is another: a clear message of the handshake that was changed can end it.
      proxy.faults = { loss: 10, duplicates: 10, swaps: 10, truncations: 5, delay: [0, 20] }
      const client = datagramSocket(t, { security: { ...kind.client, mtu: 512 } })
      const heard = inbox(client)
      let said = 0
      await until(
        `${kind.name}: ten answers`,
        () => {
          if (said === 0 || client.peers().length > 0) {
            said += 1
            client.send(`word ${said}`, proxy.port, LOOPBACK, () => {})
          }
          return heard.all.length >= 10
        },
        60_000,
      )
      const texts = heard.all.map(({ text }) => text)
      t.equal(new Set(texts).size, texts.length, 'nothing comes twice')
      t.ok(texts.every(text => /^word \d+$/.test(text)))
      t.ok(server.heard.all.every(({ text }) => /^word \d+$/.test(text)))
      t.notOk(isSaidInClear(proxy, 'word '), 'nothing in clear')
    }),
  )
})
