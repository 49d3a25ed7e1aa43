/**
 * A server of datagrams that sends back what it hears, and says when it is asked what it holds: its own
 * counters, how many associations it has made and freed inside of OpenSSL, how many objects of each kind the
 * collector still finds, and the memory of its process. `server-program SETTINGS`, as JSON.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Association } from '../../../src/providers/dtls/association.js'
import { Link } from '../../../src/providers/dtls/link.js'
import { openssl } from '../../../src/providers/dtls/openssl.js'
import { Peer } from '../../../src/providers/dtls/peer.js'
import { SecureDgramSocket } from '../../../src/sockets/secure-dgram-socket.js'
import { allocated } from '../../support/allocated.js'
import { descriptors } from '../../support/descriptors.js'
import { instancesOf } from '../../support/instances.js'
import type { Delays, Held, Question } from './server.js'

const loop = monitorEventLoopDelay({ resolution: 5 })
const objects = countSsl()
const socket = new SecureDgramSocket({
  type: 'udp4',
  security: JSON.parse(process.argv[2] as string),
})
socket.on('message', (message, from) => socket.send(message, from.port, from.address))
// The standby of what is meant to happen: its end is that of whoever has started it.
process.on('disconnect', () => process.exit())
process.on('message', (question: Question) => answer(question))
socket.bind(0, '127.0.0.1', () => process.send?.({ port: socket.address().port }))

async function answer({ what }: Question): Promise<void> {
  if (what === 'settled') await settled()
  process.send?.(what === 'loop' ? delays() : held(what === 'settled'))
}

function held(isSettled: boolean): Held {
  return {
    stats: socket.stats,
    ...objects,
    instances: isSettled ? [Peer, Link, Association].map(instancesOf) : [],
    resources: process.getActiveResourcesInfo().sort(),
    descriptors: descriptors(),
    memory: { ...process.memoryUsage(), allocated: allocated() },
    cpu: process.cpuUsage(),
  }
}

/** Since the last question. */
function delays(): Delays {
  loop.disable()
  const seen = { p99: loop.percentile(99) / 1e6, most: loop.max / 1e6 }
  loop.reset()
  loop.enable()
  return seen
}

/** Those that have no owner any more are gone then. */
async function settled(): Promise<void> {
  globalThis.gc?.()
  await new Promise(resolve => setTimeout(resolve, 20))
  globalThis.gc?.()
}

/** Counts what is made in OpenSSL and what is freed: the same functions, with a counter each. */
function countSsl(): { made: number; alive: number; most: number } {
  const lib = openssl().lib as { -readonly [name in keyof Lib]: Lib[name] }
  const { SSL_new, SSL_free } = lib
  const counts = { made: 0, alive: 0, most: 0 }
  lib.SSL_new = context => {
    counts.made += 1
    counts.alive += 1
    counts.most = Math.max(counts.most, counts.alive)
    return SSL_new(context)
  }
  lib.SSL_free = ssl => {
    counts.alive -= 1
    SSL_free(ssl)
  }
  return counts
}

type Lib = ReturnType<typeof openssl>['lib']
