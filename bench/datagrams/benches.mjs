// What is measured, of whom, and what we want to reach.

export const kinds = ['datagrams', 'handshakes', 'memory']

const subjectTitles = {
  ours: 'secure-socket',
  'ours-connected': 'secure-socket, connected',
  'ours-mutual': 'secure-socket',
  'ours-psk': 'secure-socket',
  dgram: 'node:dgram, plain',
  'dgram-connected': 'node:dgram, plain, connected',
  tls: 'node:tls, TLS 1.2',
  'tls-mutual': 'node:tls, TLS 1.2',
  'node-dtls-client': 'node-dtls-client',
  'werift-dtls': 'werift-dtls',
}

/** Another build of ours has the same key with a word before it. */
export const beforeOf = key => `before ${key}`

export function titleOf(key) {
  const now = key.replace(/^before /, '')
  return key === now ? subjectTitles[key] : `${subjectTitles[now]}, before`
}

/** What each is compared with: a connected socket with a connected one. */
export const plainOf = key => (key.endsWith('-connected') ? 'dgram-connected' : 'dgram')

/** The packages that our cost is compared with. */
export const peers = ['node-dtls-client', 'werift-dtls']

/** CPU time of a datagram: at most so many times plain dgram's, and so many times less than the best peer's. */
export const atMostPlain = 2
export const belowPeer = 3

/**
 * `units` a round; a slow subject does a `part` of them. A process is warmed up with so many rounds;
 * one without a warm-up is a new one for every round.
 */
const datagrams = size => ({
  kind: 'datagrams',
  title: `${size} bytes`,
  size,
  units: 4096,
  subjects: [
    { key: 'ours' },
    { key: 'dgram' },
    { key: 'ours-connected' },
    { key: 'dgram-connected' },
    { key: 'node-dtls-client', part: 1 / 4 },
    { key: 'werift-dtls', part: 1 / 4 },
  ],
  rounds: 1,
  warmUp: 5,
})

/** `target`: so many for each second of the server's CPU time. */
const handshakes = (title, resume, units, subjects, target) => ({
  kind: 'handshakes',
  title,
  resume,
  units,
  subjects,
  rounds: 1,
  warmUp: 10,
  target,
})

/**
 * `over`: associations that are made and ended before, until V8's heap is as large as handshakes make
 * it. `target`: KiB of RSS, at most. OpenSSL 3.5, from Node 22 on, needs more for each.
 */
const memory = (units, subjects, rounds) => ({
  kind: 'memory',
  title: `${units.toLocaleString('en-US')} idle`,
  resume: false,
  units,
  subjects,
  rounds,
  warmUp: 0,
  target: process.versions.openssl.startsWith('3.0.') ? 50 : 75,
})

/** What the figures of handshakes are set against: how fast the machine is, and how busy. */
const tls = { key: 'tls' }
const werift = { key: 'werift-dtls', part: 1 / 8 }
const nodeDtlsClient = { key: 'node-dtls-client', part: 1 / 2 }

/** `rounds` is a part of the rounds asked for. */
export const benches = [
  datagrams(64),
  datagrams(512),
  datagrams(1200),
  handshakes('full, certificate of the server', false, 128, [{ key: 'ours' }, tls, werift], 900),
  handshakes('full, certificates of both', false, 128, [
    { key: 'ours-mutual' },
    { key: 'tls-mutual' },
  ]),
  handshakes('full, pre-shared key', false, 128, [{ key: 'ours-psk' }, nodeDtlsClient]),
  handshakes('resumed', true, 256, [{ key: 'ours' }, tls], 3000),
  memory(
    1000,
    [
      { key: 'ours', over: 1000 },
      { key: 'werift-dtls', over: 100 },
      { key: 'node-dtls-client', over: 100, at: 'client' },
    ],
    1 / 5,
  ),
  memory(10_000, [{ key: 'ours', over: 1000 }], 1 / 7),
]
