/**
 * Streams as the wire sees them: our client and our server on host a, and ours on host b, by
 * certificates and by keys, over IPv4 and IPv6. Nothing of a connection is ever in clear, its beginning
 * and its end neither.
 */
import { once } from 'node:events'
import t, { type Test } from 'tap'
import net from '../../src/net.js'
import { connect } from '../../src/promises.js'
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
let lastPort = 6000

/** Sends a text to a server that gives it back, and gives what it gave. */
async function ask(proof: Proof, address: string, port: number, text: string, name = nameOf('b')) {
  const security = securityOf('a', proof)
  const socket = await connect({ host: address, port, security, peerTargetName: name })
  const info = await socket.querySecurity()
  socket.end(text)
  let answer = ''
  for await (const data of socket) answer += data
  return { answer, info }
}

async function wasSecured(t: Test, port: number, family: Family, text: string): Promise<void> {
  const packets = await wire.packets()
  t.same(inWords(inClear(packets, port)), [], 'nothing in clear')
  t.notOk(shows(packets, text), `${text} cannot be read`)
  const [a, b] = [addressOf('a', family), addressOf('b', family)]
  t.not(secured(packets, a, b).length, 0, 'ESP to the peer')
  t.not(secured(packets, b, a).length, 0, 'ESP from the peer')
}

t.test('streams on the wire', async t => {
  if (!needsGuest(t)) return
  wire = await watchWire(t)
  peer = startPeer(t, 'b')

  // First, because a daemon takes every key that it has for an identity.
  await t.test('to a peer with another key nothing leaves', async t => {
    const port = ++lastPort
    const address = addressOf('b', 4)
    await peer.listen({ proof: 'wrong psk', address, port })
    wire.forget()
    await t.rejects(ask('psk', address, port, 'a secret'), { code: 'ERR_PEER_NOT_AUTHENTICATED' })
    t.same(inWords(inClear(await wire.packets(), port)), [])
    await peer.close(port)
  })

  for (const proof of ['certificate', 'psk'] as const)
    for (const family of [4, 6] as const) {
      await t.test(`${proof}, IPv${family}: we are the client`, async t => {
        const port = ++lastPort
        const address = addressOf('b', family)
        await peer.listen({ proof, address, port })
        wire.forget()
        const { answer, info } = await ask(proof, address, port, 'a question')
        t.equal(answer, 'a question')
        t.match(info, { secured: true, encrypted: true, protocol: 'ipsec' })
        await peer.close(port)
        await wasSecured(t, port, family, 'a question')
      })

      await t.test(`${proof}, IPv${family}: we are the server`, async t => {
        const port = ++lastPort
        const address = addressOf('a', family)
        const server = net.createServer({ security: securityOf('a', proof) })
        const errors: string[] = []
        server.on('connection', socket => {
          socket.on('error', error => errors.push(error.message))
          socket.pipe(socket)
        })
        server.listen(port, address)
        await once(server, 'listening')
        wire.forget()
        const order = { proof, address, port, targetName: nameOf('a'), text: 'from there' }
        t.equal(await peer.connect(order), 'from there')
        t.same(errors, [])
        await new Promise(resolve => server.close(resolve))
        await wasSecured(t, port, family, 'from there')
      })
    }

  await t.test('to a peer with another name nothing leaves, not even the first SYN', async t => {
    const port = ++lastPort
    const address = addressOf('b', 4)
    await peer.listen({ proof: 'certificate', address, port })
    wire.forget()
    // IKE asks for the peer by that name, and this one has another.
    const code = { code: 'ERR_PEER_NOT_AUTHENTICATED', message: /c\.example/ }
    await t.rejects(ask('certificate', address, port, 'a secret', nameOf('c')), code)
    const packets = await wire.packets()
    t.same(inWords(inClear(packets, port)), [])
    t.same(inWords(secured(packets, addressOf('a', 4), address)), [], 'nor anything secured')
    t.same(await peer.received(port), [])
    await peer.close(port)
  })

  await t.test('a client in clear gets no answer from a secured server', async t => {
    const port = ++lastPort
    const address = addressOf('a', 4)
    const server = net.createServer({ security: securityOf('a', 'certificate') })
    server.on('connection', () => t.fail('a connection in clear'))
    server.listen(port, address)
    await once(server, 'listening')
    wire.forget()
    const order = { proof: 'none', address, port, text: 'in clear' } as const
    const attempt = peer.connect(order).catch(() => 'refused')
    while (inClear(await wire.packets(), port).length < 2) await wire.settled()
    const answers = inClear(await wire.packets(), port).filter(each => each.from === address)
    t.same(inWords(answers), [], 'neither a SYN+ACK nor a RST')
    await new Promise(resolve => server.close(resolve))
    t.notOk(await Promise.race([attempt, Promise.resolve('')]))
  })
})
