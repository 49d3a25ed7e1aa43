// What is measured, of whom, and what we want to reach.

export const kinds = ['bursts', 'peers', 'ping-pong', 'flood', 'handshakes', 'memory']

const subjectTitles = {
  ours: 'secure-socket',
  'ours-batch': 'secure-socket, batch channel',
  'ours-batch-connected': 'secure-socket, batch channel, connected',
  'ours-portable': 'secure-socket, portable channel',
  'ours-portable-connected': 'secure-socket, portable channel, connected',
  'ours-crowd': 'secure-socket',
  'ours-mutual': 'secure-socket',
  'ours-psk': 'secure-socket',
  dgram: 'node:dgram, plain',
  'dgram-connected': 'node:dgram, plain, connected',
  'dgram-each': 'node:dgram, plain, a connected socket for each',
  tls: 'node:tls, TLS 1.2',
  'tls-mutual': 'node:tls, TLS 1.2',
  'node-dtls-client': 'node-dtls-client',
  'werift-dtls': 'werift-dtls',
  limit: 'C, OpenSSL and GSO: the limit',
}

/** Another build of ours has the same key with a word before it. */
export const beforeOf = key => `before ${key}`

export function titleOf(key) {
  const now = key.replace(/^before /, '')
  return key === now ? subjectTitles[key] : `${subjectTitles[now]}, before`
}

/** The packages that our cost is compared with. */
export const packages = ['node-dtls-client', 'werift-dtls']

export const sizes = [64, 512, 1200]
export const burstSizes = [1, 2, 4, 8, 16, 32]

const werift = { key: 'werift-dtls', part: 1 / 8 }
const nodeDtlsClient = { key: 'node-dtls-client', part: 1 / 8 }
const batch = { key: 'ours-batch' }
const batchConnected = { key: 'ours-batch-connected' }
const portable = { key: 'ours-portable' }
const portableConnected = { key: 'ours-portable-connected' }
const dgram = { key: 'dgram' }
const dgramConnected = { key: 'dgram-connected' }
const dgramEach = { key: 'dgram-each' }
const limit = { key: 'limit' }

const onePeer = [
  batchConnected,
  dgramConnected,
  limit,
  batch,
  dgram,
  portableConnected,
  portable,
  werift,
  nodeDtlsClient,
]

/**
 * What needs least time for a datagram sends more of them: after a pause, the first milliseconds in
 * cold caches are the dearest for all.
 */
const longer = subject => (frugal.includes(subject) ? { ...subject, part: 4 } : subject)
const frugal = [batch, batchConnected, limit]

/**
 * `units` a round; a slow subject does a `part` of them. A process is warmed up with so many rounds
 * before the first bench that it takes part in; one without a warm-up is a new one for every round.
 * Benches of the same `ends` share their processes. `quick`: also where there is little time.
 */
const bursts = (size, burst) => ({
  kind: 'bursts',
  ends: 'bursts',
  title: `bursts of ${burst}, ${size} bytes`,
  size,
  burst,
  peers: 1,
  units: burst < 8 ? 8192 : 16384,
  subjects: burst < 8 ? onePeer : onePeer.map(longer),
  rounds: 1,
  warmUp: 3,
  targets: burstTargets(size, burst),
  quick: size !== 512 && [1, 8, 32].includes(burst),
})

/** A target is a ratio of CPU times: so many times less than another subject's, at least. */
const atLeast = (direction, of, against, least) => ({ direction, of, against, least })
const bothWays = (of, against, send, receive) => [
  atLeast('send', of, against, send),
  atLeast('receive', of, against, receive),
]

function burstTargets(size, burst) {
  if (burst === 1) return bothWays('ours-batch-connected', 'ours-portable-connected', 1, 1)
  if (burst < 16) return []
  const ofPlain = { 64: [5, 4.5], 1200: [3.5, 3] }[size]
  const ofLimit = { 64: 0.45, 1200: 0.75 }[size]
  return [
    ...(ofPlain ? bothWays('ours-batch-connected', 'dgram-connected', ...ofPlain) : []),
    ...(ofLimit ? bothWays('ours-batch-connected', 'limit', ofLimit, ofLimit) : []),
    ...(burst === 32 ? forLargeBursts : []),
  ]
}

/** On every system, and against the packages of npm. */
const forLargeBursts = [
  ...bothWays('ours-portable-connected', 'dgram-connected', 0.5, 0.5),
  ...packages.flatMap(key => bothWays('ours-batch', key, 3, 3)),
]

const peers = (count, size) => ({
  kind: 'peers',
  ends: `${count} peers`,
  title: `${count} peers, ${size} bytes`,
  size,
  // Of the one that is connected, which has one peer: the least that a datagram of node:dgram costs.
  burst: 32,
  peers: count,
  units: 16384,
  subjects: [batch, dgramConnected, dgramEach, dgram, limit, portable],
  rounds: 1,
  warmUp: 2,
  targets: peerTargets(count, size),
  quick: size === 64,
})

function peerTargets(count, size) {
  if (count === 1024 && size !== 64) return []
  const least = count === 64 ? 1.1 : 1
  return [
    atLeast('total', 'ours-batch', 'dgram-each', least),
    atLeast('total', 'ours-batch', 'dgram-connected', least),
    ...(count === 1024 ? [atLeast('send', 'ours-batch', 'dgram', 1.1)] : []),
  ]
}

const pingPong = size => ({
  kind: 'ping-pong',
  ends: 'ping-pong',
  title: `ping-pong, ${size} bytes`,
  size,
  peers: 1,
  units: 2048,
  subjects: onePeer,
  rounds: 1,
  warmUp: 4,
  targets: [
    atLeast('round trip', 'ours-batch-connected', 'dgram-connected', 1),
    atLeast('round trip', 'ours-batch', 'dgram', 1.3),
  ],
  quick: size === 64,
})

/** `duration`: milliseconds. */
const flood = size => ({
  kind: 'flood',
  ends: 'flood',
  title: `flood, ${size} bytes`,
  size,
  duration: 300,
  units: 0,
  subjects: [batchConnected, dgramConnected, portableConnected, { key: 'werift-dtls' }],
  rounds: 1 / 2,
  warmUp: 2,
  quick: size === 64,
})

/** `target`: so many for each second of the server's CPU time. */
const handshakes = (title, resume, units, subjects, target) => ({
  kind: 'handshakes',
  ends: `handshakes, ${title}`,
  title,
  resume,
  units,
  subjects,
  rounds: 1,
  warmUp: 10,
  target,
  quick: title !== 'full, certificates of both',
})

/**
 * `over`: associations that are made and ended before, until V8's heap is as large as handshakes make
 * it. `target`: KiB of RSS, at most. OpenSSL 3.5, from Node 22 on, needs more for each.
 */
const memory = (units, subjects, rounds) => ({
  kind: 'memory',
  ends: `memory, ${units}`,
  title: `${units.toLocaleString('en-US')} idle`,
  resume: false,
  units,
  subjects,
  rounds,
  warmUp: 0,
  target: process.versions.openssl.startsWith('3.0.') ? 50 : 75,
  // What takes longest says little more than its smaller sister.
  quick: units <= 1000,
})

/** What the figures of handshakes are set against: how fast the machine is, and how busy. */
const tls = { key: 'tls' }

/** `rounds` is a part of the rounds asked for. */
export const benches = [
  ...sizes.flatMap(size => burstSizes.map(burst => bursts(size, burst))),
  ...sizes.map(size => peers(64, size)),
  ...sizes.map(size => peers(1024, size)),
  ...sizes.map(pingPong),
  flood(64),
  flood(1200),
  handshakes('full, certificate of the server', false, 128, [{ key: 'ours' }, tls, werift], 1500),
  handshakes('full, certificates of both', false, 128, [
    { key: 'ours-mutual' },
    { key: 'tls-mutual' },
  ]),
  handshakes('full, pre-shared key', false, 128, [
    { key: 'ours-psk' },
    { key: 'node-dtls-client', part: 1 / 2 },
  ]),
  handshakes('resumed', true, 256, [{ key: 'ours' }, tls], 5000),
  memory(
    1000,
    [
      { key: 'ours', over: 1000 },
      { key: 'werift-dtls', over: 100 },
      { key: 'node-dtls-client', over: 100, at: 'client' },
    ],
    1 / 5,
  ),
  memory(10_000, [{ key: 'ours-crowd', over: 1000 }], 1 / 7),
]
