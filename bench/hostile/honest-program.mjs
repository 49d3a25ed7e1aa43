// A secured peer that has a message echoed every few milliseconds: `honest-program OPTIONS`, and then as long
// as each message of its parent says.
import { setTimeout } from 'node:timers/promises'
import { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.ts'

const every = 2
/** What has no echo by then is said again: UDP loses what the other end has no room for. */
const patience = 200
const { security, port } = JSON.parse(process.argv[2])
const host = '127.0.0.1'

const socket = new SecureDgramSocket({ type: 'udp4', security })
let said = 0
let heard = () => {}
socket.on('message', message => heard(Number(message)))
process.on('disconnect', () => process.exit())
process.on('message', async ({ milliseconds }) => process.send(await speak(milliseconds)))
process.send({})

async function speak(milliseconds) {
  const times = []
  let again = 0
  for (const end = performance.now() + milliseconds; performance.now() < end; ) {
    const begun = performance.now()
    while (!(await echo())) again += 1
    times.push(performance.now() - begun)
    await setTimeout(every)
  }
  return { times, again }
}

/** Is there one in time? */
function echo() {
  said += 1
  const number = said
  return new Promise(resolve => {
    const timer = globalThis.setTimeout(resolve, patience, false)
    heard = back => {
      if (back !== number) return
      clearTimeout(timer)
      resolve(true)
    }
    socket.send(String(number), port, host)
  })
}
