/**
 * Datagrams as the wire sees them: our socket on host a, and ours on the others, by certificates and by
 * keys, over IPv4 and IPv6, spoken to and speaking first. Nothing of a flow is ever in clear.
 */
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { createSocket } from '../../src/dgram.js'
import { until } from '../support/until.js'
import {
  addressOf,
  type Family,
  nameOf,
  needsGuest,
  type Proof,
  securityOf,
} from './support/hosts.js'
import { type Peer, startPeer } from './support/peer.js'
import { inClear, inWords, secured, shows, type Wire, watchWire } from './support/wire.js'

let wire: Wire
let peer: Peer
let lastPort = 5000

async function ourSocket(t: Test, proof: Proof, family: Family, port: number) {
  const socket = createSocket({ type: `udp${family}`, security: securityOf('a', proof) })
  const texts: string[] = []
  const errors: string[] = []
  socket.on('message', message => texts.push(String(message)))
  socket.on('error', error => errors.push(error.message))
  t.teardown(() => new Promise<void>(resolve => socket.close(resolve)))
  socket.bind(port, addressOf('a', family))
  await once(socket, 'listening')
  return { socket, texts, errors }
}

/** What send() calls back, by its code. */
function send(socket: ReturnType<typeof createSocket>, text: string, port: number, to: string) {
  return new Promise<string | null>(resolve =>
    socket.send(text, port, to, error =>
      resolve(error ? ((error as NodeJS.ErrnoException).code ?? error.message) : null),
    ),
  )
}

/** Nothing of that port could be read, and both directions were secured. */
async function wasSecured(t: Test, port: number, family: Family, texts: string[]): Promise<void> {
  const packets = await wire.packets()
  t.same(inWords(inClear(packets, port)), [], 'nothing in clear')
  for (const text of texts) t.notOk(shows(packets, text), `${text} cannot be read`)
  const [a, b] = [addressOf('a', family), addressOf('b', family)]
  t.not(secured(packets, a, b).length, 0, 'ESP to the peer')
  t.not(secured(packets, b, a).length, 0, 'ESP from the peer')
}

t.test('datagrams on the wire', async t => {
  if (!needsGuest(t)) return
  wire = await watchWire(t)
  peer = startPeer(t, 'b')

  for (const proof of ['certificate', 'psk'] as const)
    for (const family of [4, 6] as const) {
      await t.test(`${proof}, IPv${family}: we speak first`, async t => {
        const port = ++lastPort
        const there = addressOf('b', family)
        await peer.datagrams({ proof, address: there, port })
        const { socket, texts } = await ourSocket(t, proof, family, port)
        socket.setPeerTargetName({ address: there, port, targetName: nameOf('b') })
        wire.forget()
        t.equal(await send(socket, 'the first', port, there), null)
        await until('the answer', () => texts.includes('the first'))
        await wasSecured(t, port, family, ['the first'])
        await peer.close(port)
      })

      await t.test(`${proof}, IPv${family}: we are spoken to`, async t => {
        const port = ++lastPort
        const [here, there] = [addressOf('a', family), addressOf('b', family)]
        const names = [{ address: here, port, targetName: nameOf('a') }]
        const { socket } = await ourSocket(t, proof, family, port)
        const message = once(socket, 'message')
        await peer.datagrams({ proof, address: there, port, names })
        wire.forget()
        await peer.send({ fromPort: port, text: 'good day', port, address: here })
        const [text, { targetName, peer: who }] = await message
        t.equal(String(text), 'good day')
        t.comment(JSON.stringify({ targetName, who }))
        t.equal(await send(socket, 'to you, too', port, there), null)
        await until('the answer', async () => (await peer.received(port)).includes('to you, too'))
        await wasSecured(t, port, family, ['good day', 'to you, too'])
        await peer.close(port)
      })
    }
})
