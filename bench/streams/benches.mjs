// What is measured, with which certificates, against whom, and what we want to reach.

import { writeSize } from './workloads.mjs'

export const kinds = ['bulk', 'pingpong', 'connect', 'reconnect', 'memory']

export const subjectTitles = {
  before: 'secure-socket before',
  ours: 'secure-socket',
  tls: 'node:tls',
  'tls-shared': 'node:tls, one secureContext',
  'tls-resuming': 'node:tls, resuming by hand',
  net: 'node:net, no security',
}

const ecdsa = { algorithm: 'ecdsa-p256', key: 'ECDSA P-256' }
const rsa = { algorithm: 'rsa-2048', key: 'RSA-2048' }

function connect({ algorithm, key }) {
  return {
    kind: 'connect',
    title: `full connections, ${key}`,
    algorithm,
    unit: 'connections',
    scale: 1,
    units: 60,
    subjects: ['ours', 'tls', 'tls-shared', 'net'],
    lasting: true,
    target: 0.95,
  }
}

function reconnect({ algorithm, key }, target) {
  return {
    ...connect({ algorithm, key }),
    kind: 'reconnect',
    title: `reconnects, ${key}`,
    subjects: ['ours', 'tls', 'tls-shared', 'tls-resuming', 'net'],
    target,
  }
}

/**
 * `units` a round, `scale` of them make the `unit` that is shown. `target`: at least this against
 * node:tls; for memory, at most.
 */
export const benches = [
  {
    kind: 'bulk',
    title: 'bulk, 64 KiB writes',
    algorithm: ecdsa.algorithm,
    unit: 'MB',
    scale: writeSize / 1e6,
    units: 2000,
    subjects: ['ours', 'tls', 'net'],
    lasting: true,
    target: 0.98,
  },
  {
    kind: 'pingpong',
    title: 'ping-pong, 16 bytes',
    algorithm: ecdsa.algorithm,
    unit: 'round trips',
    scale: 1,
    units: 4000,
    subjects: ['ours', 'tls', 'net'],
    lasting: true,
    target: 0.95,
  },
  connect(ecdsa),
  connect(rsa),
  reconnect(ecdsa, 1.15),
  reconnect(rsa, 1.4),
  {
    kind: 'memory',
    title: 'heap of an idle connection, both ends',
    algorithm: ecdsa.algorithm,
    unit: 'KiB',
    units: 1000,
    subjects: ['ours', 'tls', 'tls-shared', 'net'],
    lasting: false,
    target: 2,
  },
]
