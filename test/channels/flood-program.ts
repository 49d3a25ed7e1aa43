/**
 * Sends as much as it can to a port of loopback, until it is ended: `flood-program WHAT PORT`, with the
 * security settings in FLOOD_SECURITY where it is a peer.
 */
import dgram from 'node:dgram'
import { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'
import { clientHello } from '../providers/dtls/hellos.js'

const LOOPBACK = '127.0.0.1'
const [what, given] = process.argv.slice(2)
const port = Number(given)
process.on('disconnect', () => process.exit())

if (what === 'messages') await messages()
else strangers(what === 'hellos' ? clientHello() : Buffer.alloc(100, 0x16))

/** Of a secured peer, in bursts that travel together where they can. */
async function messages(): Promise<void> {
  const security = JSON.parse(process.env.FLOOD_SECURITY ?? '')
  const socket = new SecureDgramSocket({ type: 'udp4', security })
  await socket.secure({ address: LOOPBACK, port })
  const message = Buffer.alloc(64, 1)
  forever(64, () => socket.send(message, port, LOOPBACK, () => {}))
}

/** What anybody can send. */
function strangers(datagram: Buffer): void {
  const socket = dgram.createSocket('udp4')
  socket.connect(port, LOOPBACK, () => forever(32, () => socket.send(datagram, () => {})))
}

function forever(burst: number, send: () => void): void {
  for (let count = 0; count < burst; count += 1) send()
  setImmediate(forever, burst, send)
}
