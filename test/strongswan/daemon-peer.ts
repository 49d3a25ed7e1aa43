/**
 * Host b of daemon.test.ts: a listener on UDP port 5000 that echoes, by the daemon's interface alone.
 * Says what happens, one line of JSON each; ends with its input.
 */
import { createSocket } from 'node:dgram'
import { daemonAt } from '../../src/providers/strongswan/daemon.js'
import { certified } from './daemon-plans.js'

const say = (what: object) => process.stdout.write(`${JSON.stringify(what)}\n`)
const daemon = daemonAt('/run/b/charon.vici')
daemon.watch({
  changed: change => say({ changed: change }),
  interrupted: error => say({ interrupted: error.message }),
  restored: () => say({ restored: true }),
  lost: error => say({ lost: error.message }),
})
const socket = createSocket('udp4')
socket.bind(5000, async () => {
  const guard = await daemon.guard('udp', 5000)
  const listener = await daemon.addListener({
    transport: 'udp',
    localAddress: '0.0.0.0',
    localPort: 5000,
    connections: [certified('b', '%any')],
  })
  socket.on('message', (data, { address, port }) => {
    socket.send(data, port, address)
  })
  say({ ready: true })
  process.stdin.resume().once('end', async () => {
    await listener.remove()
    socket.close()
    await guard.release()
    say({ ended: true })
  })
})
