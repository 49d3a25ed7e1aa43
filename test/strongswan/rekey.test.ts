/**
 * New keys while datagrams flow: not one of them is lost, or in clear. Both ends are given so few bytes
 * that many sets of keys are needed.
 */
import { once } from 'node:events'
import t from 'tap'
import { createSocket } from '../../src/dgram.js'
import { until } from '../support/until.js'
import { swanctl } from './support/administrator.js'
import { addressOf, nameOf, needsGuest, securityOf } from './support/hosts.js'
import { startPeer } from './support/peer.js'
import { inClear, inWords, secured, watchWire } from './support/wire.js'

const port = 5000
const [a, b] = [addressOf('a', 4), addressOf('b', 4)]
const rekeyings = 5

t.test('rekeying under load loses nothing', async t => {
  if (!needsGuest(t)) return
  const wire = await watchWire(t)
  const peer = startPeer(t, 'b')
  await peer.datagrams({ proof: 'certificate', address: b, port })
  const socket = createSocket({ type: 'udp4', security: securityOf('a', 'certificate') })
  t.teardown(() => new Promise<void>(resolve => socket.close(resolve)))
  socket.on('error', error => t.fail(error.message))
  socket.setPeerTargetName({ address: b, port, targetName: nameOf('b') })
  const answered = new Set<string>()
  socket.on('message', message => answered.add(String(message)))
  socket.bind(port, a)
  await once(socket, 'listening')
  await socket.secure({ address: b, port })
  wire.forget()

  const errors: string[] = []
  let sent = 0
  // So many on their way that a moment without keys would lose some, and no more than buffers hold.
  const inFlight = 20
  const send = () => {
    while (sent - answered.size < inFlight)
      socket.send(`number ${++sent}`, port, b, error => error && errors.push(error.message))
  }
  socket.on('message', send)
  send()
  for (let round = 1; round <= rekeyings; round++) {
    const before = answered.size
    const spis = childSpis()
    swanctl('a', ['--rekey', '--child', childName()])
    await until(`keys ${round}`, () => childSpis() !== spis)
    await until('datagrams with them', () => answered.size > before + 5 * inFlight)
  }
  socket.off('message', send)
  await until('every answer', () => answered.size === sent)
  t.same(errors, [])
  t.comment(`${sent} datagrams there and back`)

  const packets = await wire.packets()
  t.same(inWords(inClear(packets, port)), [])
  const keys = new Set(secured(packets, a, b).map(each => each.payload.readUInt32BE(0)))
  t.equal(keys.size, rekeyings + 1, 'so many sets of keys were used on the wire')
})

function childName(): string {
  const name = /^ {2}(\S*flow\S*): #/m.exec(swanctl('a', ['--list-sas']))?.[1]
  if (name === undefined) throw new Error(swanctl('a', ['--list-sas']))
  return name
}

/** Those that are in use, in one text. */
function childSpis(): string {
  return [...swanctl('a', ['--list-sas']).matchAll(/^ {4}out {1,}(\w+)/gm)]
    .map(each => each[1])
    .join()
}
