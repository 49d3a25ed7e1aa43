// The tap on the wire: it passes every byte on, both ways, and keeps a copy.

import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/**
 * Taps one connection to a port of loopback.
 * @param {number} target the port that the bytes are passed on to
 * @returns {Promise<{port: number, captured: Promise<{sent: Buffer, received: Buffer}>}>} where to
 *   connect instead, and what both sides said, once both have closed; `sent` is the client's
 */
export async function tapConnection(target) {
  const server = createServer({ allowHalfOpen: true })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const captured = once(server, 'connection').then(async ([client]) => {
    server.close()
    const upstream = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true })
    const [sent, received] = await Promise.all([pass(client, upstream), pass(upstream, client)])
    return { sent, received }
  })
  return { port: server.address().port, captured }
}

/** Passes on what one side says, its end and its failure too, and resolves to a copy of all of it. */
function pass(from, to) {
  const chunks = []
  from.on('data', chunk => {
    chunks.push(chunk)
    to.write(chunk)
  })
  from.on('end', () => to.end())
  from.on('error', () => to.destroy())
  return new Promise(resolve => from.on('close', () => resolve(Buffer.concat(chunks))))
}
