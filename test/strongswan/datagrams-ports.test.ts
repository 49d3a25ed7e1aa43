/** What a datagram socket over strongSwan may be bound and connected to, and what is left of it. */
import t from 'tap'
import { createSocket } from '../../src/dgram.js'
import { event, failure } from '../support/events.js'
import { inbox, sent } from '../support/secured-datagrams.js'
import { nothingInClear, nothingLeft, socketOf } from './datagrams-support.js'
import { addressOf, nameOf, needsGuest, securityOf } from './support/hosts.js'
import { type Peer, startPeer } from './support/peer.js'
import { type Wire, watchWire } from './support/wire.js'

let b: Peer
let wire: Wire

if (needsGuest(t)) {
  t.before(async () => {
    b = startPeer(t, 'b')
    wire = await watchWire(t)
  })

  t.test('what has no IPsec is refused: this host itself, groups, broadcast', async t => {
    const socket = await socketOf(t, 4, 'certificate', 6060)
    for (const address of ['10.9.0.1', '127.0.0.1', '127.0.0.9'])
      t.match(await failure(sent(socket, 'x', 5060, address)), { code: 'EOPNOTSUPP' }, address)
    for (const address of ['224.0.0.1', '255.255.255.255', '10.9.0.255'])
      t.match(await failure(sent(socket, 'x', 5060, address)), { code: 'EOPNOTSUPP' }, address)
  })

  t.test(
    'a port that is taken is told in Node’s own words, and is free again after close()',
    async t => {
      const first = await socketOf(t, 4, 'certificate', 6070)
      const second = createSocket({ type: 'udp4', security: securityOf('a', 'certificate') })
      second.bind(6070, addressOf('a', 4))
      const [error] = (await event(second, 'error')) as [Error]
      t.match(error, {
        code: 'EADDRINUSE',
        syscall: 'bind',
        address: '10.9.0.1',
        port: 6070,
        message: 'bind EADDRINUSE 10.9.0.1:6070',
      })
      await first[Symbol.asyncDispose]()
      second.bind(6070, addressOf('a', 4))
      await event(second, 'listening')
      t.equal(second.address().port, 6070)
      await second[Symbol.asyncDispose]()
    },
  )

  t.test(
    'a connected socket has one peer; disconnected, its port is guarded as before',
    async t => {
      const [address, port] = [addressOf('b', 4), 5080]
      await b.datagrams({ proof: 'certificate', address, port })
      const socket = await socketOf(t)
      const answers = inbox(socket)
      await socket.setPeerTargetName({ address, port, targetName: nameOf('b') })
      socket.connect(port, address)
      await event(socket, 'connect')
      const own = socket.address().port
      const error = await new Promise<Error | null>(resolve => socket.send('hello', resolve))
      t.equal(error, null)
      t.equal((await answers.next()).text, 'hello')
      t.match(await socket.querySecurity(), { secured: true })
      socket.disconnect()
      t.equal(socket.address().port, own)
      await sent(socket, 'again', port, address)
      t.equal((await answers.next()).text, 'again')
      await nothingInClear(t, wire, port, own)
    },
  )

  t.test('a socket of both families talks to each', async t => {
    const socket = createSocket({ type: 'udp6', security: securityOf('a', 'certificate') })
    t.teardown(async () => await socket[Symbol.asyncDispose]())
    const answers = inbox(socket)
    socket.bind(6090)
    await event(socket, 'listening')
    for (const family of [4, 6] as const) {
      const [address, port] = [addressOf('b', family), 5090 + family]
      await b.datagrams({ proof: 'certificate', address, port })
      const written = family === 4 ? `::ffff:${address}` : address
      await socket.setPeerTargetName({ address: written, port, targetName: nameOf('b') })
      await sent(socket, 'x', port, written)
      const { rinfo } = await answers.next()
      t.match(rinfo, { address: written, port })
      await nothingInClear(t, wire, port)
    }
    const names = [{ address: addressOf('a', 4), port: 6090, targetName: nameOf('a') }]
    await b.datagrams({ proof: 'certificate', address: addressOf('b', 4), port: 5098, names })
    await b.send({ fromPort: 5098, text: 'first', address: addressOf('a', 4), port: 6090 })
    t.match(await answers.next(), { text: 'first', rinfo: { address: '::ffff:10.9.0.2' } })
    await nothingInClear(t, wire, 5098, 6090)
  })

  t.test('nothing of us is left in the daemon when all is closed', async t => {
    await nothingLeft(t, 'a')
    t.same(b.complaints, [])
  })
}
