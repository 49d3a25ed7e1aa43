/**
 * Datagrams over strongSwan, where their security is lost: keys that are gone, a daemon that is
 * stopped, killed or told something else. Whatever happens, nothing leaves in clear.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { event, failure } from '../support/events.js'
import { inbox, sent } from '../support/secured-datagrams.js'
import { until } from '../support/until.js'
import { listed, nothingInClear, nothingLeft, socketOf } from './datagrams-support.js'
import { addressOf, nameOf, needsGuest } from './support/hosts.js'
import { type Peer, startPeer } from './support/peer.js'
import { type Wire, watchWire } from './support/wire.js'

const run = promisify(execFile)
let b: Peer
let wire: Wire

/** The keys of all flows of that host end, and its peers are told so. */
async function endKeys(host: 'a' | 'b'): Promise<void> {
  for (const [, id] of (await listed(host, '--list-sas')).matchAll(/#(\d+), ESTABLISHED/g))
    await run('on', [host, 'swanctl', '--terminate', '--ike-id', String(id)]).catch(() => {})
}

if (needsGuest(t)) {
  t.before(async () => {
    b = startPeer(t, 'b')
    wire = await watchWire(t)
  })

  t.test('the peer ends the keys: it is told, and the next message makes new ones', async t => {
    const [address, port] = [addressOf('b', 4), 5110]
    await b.datagrams({ proof: 'certificate', address, port })
    const socket = await socketOf(t)
    const answers = inbox(socket)
    await socket.setPeerTargetName({ address, port, targetName: nameOf('b') })
    await sent(socket, 'one', port, address)
    t.equal((await answers.next()).text, 'one')
    const first = await socket.querySecurity({ address, port })
    const closed = event(socket, 'peerClose', 20_000)
    await endKeys('b')
    t.match(await closed, [{ address, port }])
    t.same(socket.peers(), [])
    const secure = event(socket, 'secure', 20_000)
    await sent(socket, 'two', port, address)
    t.equal((await answers.next()).text, 'two')
    await secure
    const second = await socket.querySecurity({ address, port })
    t.not(first.ipsec?.quickModeSaId, second.ipsec?.quickModeSaId)
    await nothingInClear(t, wire, port, socket.address().port)
  })

  t.test('the keys of a peer that came by itself end: it is gone, and can come again', async t => {
    const socket = await socketOf(t, 4, 'certificate', 6120)
    const heard = inbox(socket)
    const to = { address: addressOf('a', 4), port: 6120 }
    const names = [{ ...to, targetName: nameOf('a') }]
    await b.datagrams({ proof: 'certificate', address: addressOf('b', 4), port: 5120, names })
    await b.send({ fromPort: 5120, text: 'one', ...to })
    t.equal((await heard.next()).text, 'one')
    const closed = event(socket, 'peerClose', 20_000)
    await endKeys('a')
    await closed
    await until('b knows it', async () => !(await listed('b', '--list-sas')).includes('5120'))
    await b.send({ fromPort: 5120, text: 'two', ...to })
    t.equal((await heard.next()).text, 'two')
    await nothingInClear(t, wire, 5120, 6120)
  })

  t.test(
    'the daemon is stopped and started again: nothing is sent meanwhile, all goes on after it',
    async t => {
      const [address, port] = [addressOf('b', 4), 5130]
      await b.datagrams({ proof: 'certificate', address, port })
      const socket = await socketOf(t, 4, 'certificate', 6130)
      const answers = inbox(socket)
      await socket.setPeerTargetName({ address, port, targetName: nameOf('b') })
      await sent(socket, 'before', port, address)
      t.equal((await answers.next()).text, 'before')
      let count = 0
      const outcomes = new Set<string>()
      const traffic = setInterval(() => {
        count += 1
        socket.send(`during ${count}`, port, address, error =>
          outcomes.add(error ? String((error as NodeJS.ErrnoException).code) : 'sent'),
        )
      }, 5)
      await run('charon', ['stop', 'a'])
      await run('charon', ['start', 'a'])
      await until(
        'it goes on',
        () =>
          answers.all.some(({ text }) => text.startsWith('during') && socket.peers().length > 0),
        60_000,
      )
      clearInterval(traffic)
      t.comment([...outcomes].join(', '), count)
      // An answer of the peer may meet keys of its that are being replaced just now.
      await until(
        'an answer comes',
        async () => {
          const seen = answers.all.length
          await sent(socket, 'after', port, address).catch(() => {})
          await until('this one', () => answers.all.length > seen, 1000).catch(() => {})
          return answers.all.some(({ text }) => text === 'after')
        },
        30_000,
      )
      await nothingInClear(t, wire, port, 6130)
    },
  )

  t.test('the daemon is killed: what is secured stays so, and it is found again', async t => {
    const [address, port] = [addressOf('b', 4), 5140]
    await b.datagrams({ proof: 'certificate', address, port })
    const socket = await socketOf(t, 4, 'certificate', 6140)
    const answers = inbox(socket)
    await socket.setPeerTargetName({ address, port: 0, targetName: nameOf('b') })
    await sent(socket, 'before', port, address)
    await answers.next()
    await run('charon', ['kill', 'a'])
    await sent(socket, 'while it is dead', port, address)
    await run('charon', ['start', 'a'])
    await b.datagrams({ proof: 'certificate', address, port: 5141 })
    await until(
      'another peer is secured',
      async () => {
        const error = await sent(socket, 'new', 5141, address).then(
          () => null,
          error => error,
        )
        if (error) t.comment(error.message)
        return error === null
      },
      60_000,
    )
    await nothingInClear(t, wire, port, 5141, 6140)
  })

  t.test('a host without a daemon: the error says so, and nothing leaves', async t => {
    await run('charon', ['stop', 'a'])
    const socket = await socketOf(t)
    const unbound = event(socket, 'error', 60_000)
    const unsent = failure(sent(socket, 'x', 5150, addressOf('b', 4)))
    const gone = { code: /ERR_PROVIDER_UNAVAILABLE|ECONNRESET/, message: /strongSwan/ }
    t.match(await unbound, [gone])
    t.match(await unsent, gone)
    await nothingInClear(t, wire, 5150)
    await run('charon', ['start', 'a'])
    await run('charon', ['wait', 'a'])
  })

  t.test('nothing of us is left in the daemon when all is closed', async t => {
    await nothingLeft(t, 'a')
    const others = b.complaints.filter(each => !each.includes('nothing secures'))
    t.same(others, [], 'answers to messages whose keys had gone meanwhile are all that b missed')
  })
}
