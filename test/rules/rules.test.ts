/**
 * The rules, by number, for every kind of secured socket: one table. Its rows are the rules of
 * docs/rules.md with the cases that show each, its columns the subjects. A new provider or socket
 * joins as one more subject; where a rule cannot apply to it, the table says why.
 */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { setTimeout as pause, setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { SocketSecurityError } from '../../src/model/errors.js'
import type { PeerIdentity } from '../../src/model/peer-identity.js'
import { parsePolicy } from '../../src/model/policy/parse.js'
import type { SecurityInfo } from '../../src/model/security-info.js'
import type { SecuritySettings } from '../../src/model/settings.js'
import { setPolicy } from '../../src/policy/current-policy.js'
import type { PeerAddress } from '../../src/providers/datagram-provider.js'
import { currentPeer } from '../../src/sockets/impersonation.js'
import type {
  SecureDgramSocket,
  SecureDgramSocketOptions,
} from '../../src/sockets/secure-dgram-socket.js'
import { failure } from '../support/events.js'
import { expiredIdentity, strangerIdentity, testIdentity } from '../support/identities.js'
import { until } from '../support/until.js'
import { noDouble } from '../support/winsock-double.js'
import { dtlsDatagram } from './dtls-datagram.js'
import { setRemotePolicy } from './remote.js'
import { inGuest } from './strongswan.js'
import { strongswanDatagram } from './strongswan-datagram.js'
import { strongswanStream } from './strongswan-stream.js'
import * as structures from './structures.js'
import {
  type Endpoint,
  HOST,
  SERVER_NAMES,
  type ServerEndpoint,
  type Subject,
  type System,
} from './subject.js'
import { tlsStream } from './tls-stream.js'
import { winsockDatagram } from './winsock-datagram.js'
import { winsockStream } from './winsock-stream.js'

const subjects: readonly Subject[] = inGuest
  ? [strongswanStream, strongswanDatagram]
  : noDouble
    ? [tlsStream, dtlsDatagram]
    : [tlsStream, dtlsDatagram, winsockStream, winsockDatagram]

/** What the process held before any of the tests. */
const idle = new Map(subjects.map(subject => [subject, subject.resources()]))

interface Rule {
  readonly id: `R${number}` | 'precedence'
  readonly title: string
  /** What breaking it gives; docs/rules.md says the same. */
  readonly error?: string
  /** Why not, by kind of socket, provider, or name of the subject. */
  readonly inapplicable?: Readonly<Record<string, string>>
  readonly cases: readonly Case[]
}

interface Case {
  readonly title: string
  readonly inapplicable?: Readonly<Record<string, string>>
  /** Why no subject can run it yet. */
  readonly pending?: string
  run?(t: Test, subject: Subject): Promise<void>
}

const ONE_PEER = 'a stream has one peer, and connect() says where it is'
const NO_PIPES = 'a datagram socket has no pipes: it is of type udp4 or udp6'
const OBJECTS =
  'settings, names and answers are objects of JavaScript: no buffer of a fixed size is filled'
const BOTH_ROLES =
  'a bound datagram socket is a client too: without credentials it answers no stranger'
const DEFAULT_IS_TLS =
  'the default policy is tls on every platform: two hosts always understand each other'
const SYSTEM_CREDENTIALS = 'the credentials are those of the system, and it alone knows them'
const NO_CERTIFICATES = 'the system negotiates, and shows no certificate of it'
const NO_TLS = 'no TLS is spoken: the system negotiates by IKE'
const NEVER_CLEAR_BY_IPSEC = 'IPsec never leaves a connection clear: allowInsecure is EOPNOTSUPP'
const NOT_OF_IPSEC = { winsock: NEVER_CLEAR_BY_IPSEC, strongswan: NEVER_CLEAR_BY_IPSEC }
const NO_SYSTEM = 'the library secures the packets, not the system'
const REAL_SYSTEM = 'the system is a real one, which does as it does: test/strongswan asks it'
/** What only the double of a system can show. */
const NO_DOUBLE = { tls: NO_SYSTEM, dtls: NO_SYSTEM, strongswan: REAL_SYSTEM }
const NOTHING_BEFORE = 'nothing is sent before the peer is secured'
const NEVER_ARRIVES =
  'a packet in clear does not reach the server: test/strongswan shows it on the wire'
const ALWAYS_MUTUAL = 'peers of IKE always prove who they are'
const OTHER_HOST = 'the server is in a process of another host: test/strongswan asks it there'
const HAS_IPSEC =
  'Windows has IPsec: test/winsock/fail-closed.test.ts says what where it is missing'
const UNIX = 'elsewhere no program takes a port of another that does not want it'
const SYSTEM_HOLDS =
  'the system holds the first datagram back until it has negotiated, which its double does not'
const NEVER_CLEAR = 'datagrams are never sent in clear: allowInsecure is EOPNOTSUPP'

const rules: readonly Rule[] = [
  {
    id: 'R1',
    title: 'settings that are null or absent are the default policy',
    cases: [
      {
        title: 'absent or null, a peer that can be authenticated is secured',
        async run(t, subject) {
          const { server, clients } = await subject.defaults()
          const port = await subject.server(t, { security: server }).listen()
          for (const options of clients) {
            const client = subject.socket(t, options)
            await client.connect(port)
            t.match(await client.querySecurity(), { secured: true, encrypted: true })
          }
        },
      },
      {
        title: 'null by the verb, a peer that nobody vouches for is refused',
        inapplicable: { winsock: DEFAULT_IS_TLS, strongswan: DEFAULT_IS_TLS },
        async run(t, subject) {
          const port = await subject
            .server(t, { security: await subject.serverSettings() })
            .listen()
          const client = subject.socket(t)
          await client.setSecurity(null)
          t.match(await failure(client.connect(port)), { code: /UNABLE_TO|SELF_SIGNED/ })
        },
      },
      {
        title: 'and nothing goes to a peer in clear',
        inapplicable: { 'winsock datagram': SYSTEM_HOLDS },
        async run(t, subject) {
          const peer = await subject.clearPeer(t, 'answers')
          const client = subject.socket(t, await impatient(subject))
          t.match(await failure(sending(client, peer.port)), { code: subject.codes.clear })
          t.notMatch(peer.received.toString('latin1'), /secret/)
        },
      },
      {
        title: 'a server has no credential by default',
        inapplicable: { winsock: SYSTEM_CREDENTIALS, datagram: BOTH_ROLES },
        async run(t, subject) {
          t.match(await failure(subject.server(t).listen()), { code: 'ENOCREDENTIAL' })
          const server = subject.server(t)
          await server.setSecurity(null)
          t.match(await failure(server.listen()), { code: 'ENOCREDENTIAL' })
        },
      },
      {
        title: 'nor more than one datagram, which the system holds back until it has negotiated',
        inapplicable: {
          stream: 'nothing of a stream is sent before',
          dtls: NO_SYSTEM,
          strongswan: NOTHING_BEFORE,
        },
        async run(t, subject) {
          const peer = await subject.clearPeer(t, 'answers')
          const options = (await impatient(subject)) as Partial<SecureDgramSocketOptions>
          const socket = datagramSocket(t, subject, options)
          const send = (text: string) =>
            new Promise<Error | null>(resolve => {
              socket.send(text, peer.port, HOST, resolve as never)
            })
          const outcomes = await Promise.all([send('first'), send('second')])
          for (const outcome of outcomes) t.match(outcome, { code: subject.codes.clear })
          t.equal(peer.received.toString('latin1'), 'first')
        },
      },
    ],
  },

  {
    id: 'R2',
    title: 'only IPv4 and IPv6 sockets can be secured',
    error: 'EAFNOSUPPORT',
    inapplicable: { datagram: NO_PIPES },
    cases: [
      {
        title: 'a pipe is not connected to',
        async run(t, subject) {
          const peer = await subject.foreignPeer(t)
          const client = subject.socket(t, { security: await subject.clientSettings() })
          t.match(await failure(client.connectForeign(peer.path)), { code: 'EAFNOSUPPORT' })
          t.match(await failure(client.secured), { code: 'EAFNOSUPPORT' })
          t.equal(peer.contacts, 0)
        },
      },
      {
        title: 'a socket on a pipe takes no verb',
        async run(t, subject) {
          const socket = await subject.foreignSocket(t)
          const refused = { code: 'EAFNOSUPPORT', winsock: 'WSAEAFNOSUPPORT' }
          t.match(await failure(socket.setSecurity({})), refused)
          t.match(await failure(socket.setPeerTargetName('localhost')), refused)
          t.match(await failure(socket.querySecurity()), refused)
          t.throws(() => socket.impersonatePeer(() => {}), refused)
        },
      },
      {
        title: 'a server does not listen on one',
        async run(t, subject) {
          const server = subject.server(t, { security: await subject.serverSettings() })
          t.match(await failure(server.listenForeign()), { code: 'EAFNOSUPPORT' })
          t.equal(server.listening, false)
        },
      },
    ],
  },

  {
    id: 'R3',
    title: 'only stream and datagram sockets, and settings with correct values',
    error: 'EINVAL',
    cases: [
      {
        title: 'an unknown key by the verb, naming it',
        async run(t, subject) {
          for (const socket of [subject.socket(t), subject.server(t)])
            t.match(await failure(socket.setSecurity({ cypher: 'AES' })), {
              code: 'EINVAL',
              winsock: 'WSAEINVAL',
              syscall: 'WSASetSocketSecurity',
              message: /cypher/,
            })
        },
      },
      {
        title: 'a wrong value among the options is thrown at once, naming it',
        async run(t, subject) {
          const options = { security: { minVersion: 'SSLv3' } as object }
          t.throws(() => subject.socket(t, options), { code: 'EINVAL', message: /"SSLv3"/ })
          t.throws(() => subject.server(t, options), { code: 'EINVAL', message: /"SSLv3"/ })
        },
      },
      {
        title: 'a target name that is none',
        async run(t, subject) {
          const refused = { code: 'EINVAL', message: /two words/ }
          t.match(await failure(subject.socket(t).setPeerTargetName('two words')), refused)
          if (subject.kind === 'datagram') return // one name for each peer, and so no option
          t.throws(() => subject.socket(t, { peerTargetName: 'two words' }), refused)
        },
      },
    ],
  },

  {
    id: 'R4',
    title: 'a connected socket takes no settings',
    error: 'EISCONN',
    cases: [
      {
        title: 'connecting, connected, or accepted',
        async run(t, subject) {
          const { client, accepted, port } = await connection(t, subject)
          const connecting = subject.socket(t, { security: await subject.clientSettings() })
          connecting.connect(port)
          for (const socket of connections(subject, { connecting, client, accepted }))
            for (const settings of [{}, null, await subject.clientSettings()])
              t.match(await failure(socket.setSecurity(settings)), {
                code: 'EISCONN',
                winsock: 'WSAEISCONN',
                syscall: 'WSASetSocketSecurity',
              })
        },
      },
      {
        title: 'and stays secured as it was',
        async run(t, subject) {
          const { client, accepted } = await connection(t, subject)
          const before = plain(await client.querySecurity())
          await failure(client.setSecurity({ maxVersion: 'TLSv1.2' }))
          client.send('still')
          t.equal(await accepted.hears(5), 'still')
          t.same(plain(await client.querySecurity()), before)
        },
      },
    ],
  },

  {
    id: 'R5',
    title: 'a structure’s buffer must be large enough',
    error: 'EMSGSIZE',
    inapplicable: {
      tls: OBJECTS,
      dtls: OBJECTS,
    },
    cases: [
      {
        title: 'what is told to the system',
        async run(t) {
          const peer = { family: 4, address: '127.0.0.1', port: 5000 } as const
          const name = 'host/db.example.com'
          const settings = { protocol: 1, securityFlags: 1, ipsecFlags: 0, userName: 'Ann' }
          const template = { protocol: 2, peer, tokenAccess: 0, flags: 0, fieldMask: 3 }
          for (const [size, write] of [
            [8, (room: Buffer) => structures.writeSecuritySettings(room, settings)],
            [88 + 6, (room: Buffer) => structures.writeSecuritySettingsIpsec(room, settings)],
            [
              144 + 2 * name.length,
              (room: Buffer) => structures.writePeerTargetName(room, { protocol: 2, peer, name }),
            ],
            [144, (room: Buffer) => structures.writeQueryTemplate(room, template)],
            [152, (room: Buffer) => structures.writeQueryTemplateIpsec2(room, template)],
          ] as const) {
            for (const short of [0, size - 1]) {
              const room = Buffer.alloc(short, 0xee)
              t.throws(() => write(room), { code: 'EMSGSIZE', winsock: 'WSAEMSGSIZE' })
              t.ok(room.equals(Buffer.alloc(short, 0xee)), 'nothing is written')
            }
            t.equal(write(Buffer.alloc(size + 1)), size)
          }
        },
      },
      {
        title: 'what the system answers',
        async run(t) {
          const plain = Buffer.alloc(24)
          plain.writeUInt32LE(1)
          const ipsec2 = Buffer.alloc(64)
          ipsec2.writeUInt32LE(2)
          for (const answer of [plain, ipsec2]) {
            t.ok(structures.readQueryInfo(answer))
            const short = answer.subarray(0, -1)
            const refused = { code: 'EMSGSIZE', syscall: 'WSAQuerySocketSecurity' }
            t.throws(() => structures.readQueryInfo(short), refused)
          }
        },
      },
    ],
  },

  {
    id: 'R6',
    title: 'a closed socket, or no socket, takes no verb',
    error: 'ENOTSOCK',
    cases: [
      {
        title: 'closed before it was ever connected, and closed after',
        async run(t, subject) {
          const { client, accepted } = await connection(t, subject)
          const unused = subject.socket(t)
          for (const socket of connections(subject, { client, unused, accepted })) {
            await socket.destroy()
            const refused = { code: 'ENOTSOCK', winsock: 'WSAENOTSOCK' }
            t.match(await failure(socket.setSecurity({})), refused)
            t.match(await failure(socket.setPeerTargetName('localhost')), refused)
            t.match(await failure(socket.querySecurity()), refused)
            if (inThisProcess(subject, socket, accepted))
              t.throws(() => socket.impersonatePeer(() => {}), refused)
          }
        },
      },
      {
        title: 'a closed server',
        async run(t, subject) {
          const server = subject.server(t, { security: await subject.serverSettings() })
          await server.listen()
          await server.close()
          t.match(await failure(server.setSecurity({})), { code: 'ENOTSOCK' })
        },
      },
      {
        title: 'what never was a socket',
        async run(t, subject) {
          for (const thing of [{}, [], null, undefined, 5]) {
            const { setSecurity, setPeerTargetName, querySecurity } = subject.noSocket(thing)
            t.match(await failure(setSecurity({})), { code: 'ENOTSOCK' })
            t.match(await failure(setPeerTargetName('localhost')), { code: 'ENOTSOCK' })
            t.match(await failure(querySecurity()), { code: 'ENOTSOCK' })
          }
        },
      },
    ],
  },

  {
    id: 'R7',
    title: 'settings come before connect, bind or listen',
    error: 'EINVAL',
    cases: [
      {
        title: 'at the client after connect()',
        inapplicable: {
          stream: 'connect() alone binds a stream, and then R4 comes first',
          datagram: 'then R4 comes first',
        },
      },
      {
        title: 'of a datagram socket: after bind(), and after the first send',
        inapplicable: { stream: ONE_PEER },
        async run(t, subject) {
          const port = await subject
            .server(t, { security: await subject.serverSettings() })
            .listen()
          const refused = { code: 'EINVAL', winsock: 'WSAEINVAL', message: /bound/ }
          const bound = datagramSocket(t, subject)
          bound.bind(0)
          const sending = datagramSocket(t, subject, { security: await subject.clientSettings() })
          sending.send('x', port, HOST)
          for (const socket of [bound, sending])
            t.match(await failure(socket.setSecurity(await subject.clientSettings())), refused)
        },
      },
      {
        title: 'at the server after listen()',
        async run(t, subject) {
          const server = subject.server(t)
          await server.setSecurity(await subject.serverSettings())
          const port = await server.listen()
          t.match(await failure(server.setSecurity(await subject.serverSettings())), {
            code: 'EINVAL',
            winsock: 'WSAEINVAL',
            message: /listening/,
          })
          const client = subject.socket(t, { security: await subject.clientSettings() })
          await client.connect(port)
          t.match(await client.querySecurity(), { secured: true }, 'it serves as before')
        },
      },
    ],
  },

  {
    id: 'R8',
    title: 'settings are set once',
    error: 'EINVAL',
    cases: [
      {
        title: 'by the verb, after the verb or an option, null included',
        async run(t, subject) {
          const refused = { code: 'EINVAL', winsock: 'WSAEINVAL', message: /once/ }
          for (const create of [subject.socket, subject.server]) {
            const byVerb = create(t)
            await byVerb.setSecurity(null)
            t.match(await failure(byVerb.setSecurity(null)), refused)
            const byOption = create(t, { security: await subject.serverSettings() })
            t.match(await failure(byOption.setSecurity({})), refused)
          }
        },
      },
      {
        title: 'a setting that failed is none, and can be made good',
        async run(t, subject) {
          const port = await subject
            .server(t, { security: await subject.serverSettings() })
            .listen()
          const client = subject.socket(t)
          await failure(client.setSecurity({ cypher: 'AES' }))
          await client.setSecurity(await subject.clientSettings())
          await client.connect(port)
          t.match(await client.querySecurity(), { secured: true })
        },
      },
    ],
  },

  {
    id: 'R9',
    title: 'a secured socket has its port for itself, unless sharePort',
    error: 'EINVAL',
    cases: [
      {
        title: 'reusePort',
        async run(t, subject) {
          const security = await subject.serverSettings()
          const server = subject.server(t, { security })
          t.match(await failure(server.listen({ reusePort: true })), {
            code: 'EINVAL',
            syscall: 'WSASetSocketSecurity',
            message: /reusePort.*sharePort/,
          })
          t.equal(server.listening, false)
          const sharing = subject.server(t, { security: { ...security, sharePort: true } })
          const outcome = sharing.listen({ reusePort: true }).then(() => 'listening')
          t.match(await outcome.catch(({ code }) => code), subject.codes.reusePort)
        },
      },
      {
        title: 'sharing by the processes of a cluster',
        async run(t, subject) {
          const security = await subject.serverSettings()
          const outcomes = await subject.listenInWorker(t, [
            { security },
            { security, options: { exclusive: true } },
            { security: { ...security, sharePort: true } },
          ])
          t.same(outcomes, ['EINVAL', 'listening', subject.codes.cluster])
        },
      },
      {
        title: 'on Windows another program cannot take it either (SO_EXCLUSIVEADDRUSE)',
        inapplicable: process.platform === 'win32' ? {} : { stream: UNIX, datagram: UNIX },
        async run(t, subject) {
          const { isExclusive, takesPort } = await import('./windows-port.js')
          const peer = await subject.clearPeer(t, 'is silent')
          t.equal(isExclusive(subject.kind, peer.port), false, 'where nobody asks for it')
          const server = subject.server(t, { security: await subject.serverSettings() })
          const port = await server.listen()
          t.equal(isExclusive(subject.kind, port), true)
          t.equal(takesPort(subject.kind, port), false)
        },
      },
    ],
  },

  {
    id: 'R10',
    title:
      'what the application does not set comes from the policy, what it sets wins where it may',
    error: 'ERR_POLICY_FORBIDS',
    cases: [
      {
        title: 'without a policy: from the default',
        async run(t, subject) {
          const { client } = await connection(t, subject)
          t.match(await client.querySecurity(), { secured: true, encrypted: true })
        },
      },
      {
        title: 'what is set wins over the default',
        async run(t, subject) {
          const choice = await subject.choice(t)
          const { client, accepted } = await connection(t, subject, choice)
          t.match(await client.querySecurity(), choice.info)
          t.match(await accepted.querySecurity(), choice.info)
        },
      },
      {
        title: 'from the policy: whom the peer must prove to be',
        async run(t, subject) {
          const port = await subject
            .server(t, { security: await subject.serverSettings() })
            .listen()
          const told = subject.system?.names(t)
          const targetNames = [{ address: HOST, port, targetName: 'host/other.example.com' }]
          underPolicy(t, { targetNames })
          const client = subject.socket(t, { security: await subject.clientSettings() })
          const connected = client.connect(port)
          if (told) {
            await connected
            t.match(told(), [{ name: 'host/other.example.com' }])
          } else {
            t.match(await failure(connected), {
              code: mismatch(subject),
              message: /other\.example\.com/,
            })
          }
        },
      },
      {
        title: 'what the policy sets, the application does not set otherwise',
        async run(t, subject) {
          const peer = await subject.clearPeer(t, 'answers')
          const both = { handshakeTimeout: 5000 }
          underPolicy(t, { streams: both, datagrams: both })
          const refused = {
            code: 'ERR_POLICY_FORBIDS',
            syscall: 'WSASetSocketSecurity',
            message: /^security\.handshakeTimeout .*applicationMaySet in \/policy\.json$/,
          }
          const settings = { ...(await subject.clientSettings()), handshakeTimeout: 4000 }
          const client = subject.socket(t)
          t.match(await failure(client.setSecurity(settings)), refused)
          t.match(await failure(client.connect(peer.port)), refused)
          // A program that ran before a policy came does not catch what its constructors throw.
          t.match(
            await failure(subject.socket(t, { security: settings }).connect(peer.port)),
            refused,
          )
          t.match(await failure(subject.server(t, { security: settings }).listen()), refused)
          t.equal(peer.contacts, 0)
        },
      },
      {
        title: 'but to the same, or where the policy lets it',
        async run(t, subject) {
          const security = { handshakeTimeout: 5000 }
          const sections = { streams: security, datagrams: security }
          underPolicy(t, sections)
          const same = await connection(t, subject, { client: security, server: security })
          t.match(await same.client.querySecurity(), { secured: true })
          underPolicy(t, { ...sections, applicationMaySet: ['handshakeTimeout'] })
          await connection(t, subject, { client: { handshakeTimeout: 4000 } })
          underPolicy(t, { ...sections, applicationMaySet: true })
          await connection(t, subject, { client: { handshakeTimeout: 4000 } })
        },
      },
      {
        title: 'what is weaker than the default needs its permission',
        async run(t, subject) {
          underPolicy(t, {})
          const weaker = { keylog: true, guaranteeEncryption: false, rejectUnauthorized: false }
          for (const [key, value] of Object.entries(weaker))
            for (const socket of [subject.socket(t), subject.server(t)])
              t.match(
                await failure(
                  socket.setSecurity({ ...(await subject.clientSettings()), [key]: value }),
                ),
                {
                  code: 'ERR_POLICY_FORBIDS',
                  message: new RegExp(`^security\\.${key} .*weaker than the default`),
                },
              )
          underPolicy(t, { applicationMaySet: ['guaranteeEncryption'] })
          await connection(t, subject, { client: { guaranteeEncryption: false } })
        },
      },
      {
        title: 'a policy that cannot be used: nothing is secured by it, and nothing goes clear',
        async run(t, subject) {
          const broken = new SocketSecurityError('ERR_POLICY_INVALID', 'the policy is broken')
          setPolicyEverywhere(broken)
          t.teardown(() => setPolicyEverywhere(null))
          const peer = await subject.clearPeer(t, 'answers')
          for (const options of [undefined, { security: await subject.clientSettings() }])
            t.equal(await failure(sending(subject.socket(t, options), peer.port)), broken)
          const security = await subject.serverSettings()
          const server = subject.server(t, { security })
          t.match(await failure(server.listen()), {
            code: 'ERR_POLICY_INVALID',
            message: broken.message,
          })
          t.equal(server.listening, false)
          t.equal(await failure(subject.socket(t).setSecurity(security)), broken)
          t.equal(peer.contacts, 0)
        },
      },
    ],
  },

  {
    id: 'R11',
    title: 'ipsec settings need protocol ipsec, not default',
    error: 'EINVAL',
    cases: [
      {
        title: 'with no protocol, the default, or another',
        async run(t, subject) {
          for (const protocol of [{}, { protocol: 'default' }, { protocol: 'tls' }])
            for (const socket of [subject.socket(t), subject.server(t)])
              t.match(await failure(socket.setSecurity({ ipsec: {}, ...protocol })), {
                code: 'EINVAL',
                message: /ipsec needs protocol: 'ipsec'/,
              })
        },
      },
      {
        title: 'protocol ipsec is served by IPsec, and by nothing else',
        inapplicable:
          process.platform === 'win32' ? { stream: HAS_IPSEC, datagram: HAS_IPSEC } : {},
        async run(t, subject) {
          const peer = await subject.clearPeer(t, 'answers')
          const client = subject.socket(t)
          await client.setSecurity({ protocol: 'ipsec', ipsec: {} })
          // On Linux by strongSwan, which wants credentials, and another host.
          const refused = { code: /^(ERR_PROVIDER_UNAVAILABLE|ENOCREDENTIAL|EOPNOTSUPP)$/ }
          t.match(await failure(client.connect(peer.port)), refused)
          t.equal(peer.contacts, 0)
        },
      },
    ],
  },

  {
    id: 'R12',
    title: 'completion is a promise; one that failed fails the connect or listen that relies on it',
    cases: [
      {
        title: 'the effects are in order: no await is needed',
        async run(t, subject) {
          const port = await subject
            .server(t, { security: await subject.serverSettings() })
            .listen()
          const client = subject.socket(t)
          client.setSecurity(await subject.clientSettings())
          client.setPeerTargetName('db.example.com')
          await client.connect(port)
          t.match(await client.querySecurity(), { peer: { targetName: 'db.example.com' } })
        },
      },
      {
        title: 'a verb that failed fails the connect, whatever succeeded after it',
        async run(t, subject) {
          const good = await subject.clientSettings()
          const mistakes: [title: string, make: (socket: Endpoint) => void][] = [
            [
              'settings',
              socket => {
                socket.setSecurity({ ...good, cypher: 'AES' })
              },
            ],
            [
              'settings, before a good name',
              socket => {
                socket.setSecurity({ ...good, cypher: 'AES' })
                socket.setPeerTargetName('localhost')
              },
            ],
            [
              'a name, before good settings',
              socket => {
                socket.setPeerTargetName('two words')
                socket.setSecurity(good)
              },
            ],
            [
              'a name, after good settings',
              socket => {
                socket.setSecurity(good)
                socket.setPeerTargetName('')
              },
            ],
            [
              'settings that came too late, before a good name',
              socket => {
                socket.setSecurity(good)
                socket.setSecurity({ ...good, minVersion: 'TLSv1.3' })
                socket.setPeerTargetName('localhost')
              },
            ],
          ]
          for (const [title, make] of mistakes) {
            const { port, receives } = await watchedServer(t, subject)
            const client = subject.socket(t)
            make(client)
            const error = await sending(client, port).catch(error => error)
            t.match(error, { code: /^E(INVAL|FAULT)$/ }, title)
            t.equal(await client.secured.catch(error => error), error, 'so does secured')
            t.equal(receives(), 0, 'and nothing is sent')
          }
        },
      },
      {
        title: 'also where the socket had been closed, and is used again',
        inapplicable: { datagram: 'it is not opened again' },
        async run(t, subject) {
          const { client, port } = await connection(t, subject)
          await client.destroy()
          client.setPeerTargetName('other.example.com')
          t.match(await failure(client.connect(port)), { code: 'ENOTSOCK' })
        },
      },
      {
        title: 'a server that was not secured does not listen',
        async run(t, subject) {
          const server = subject.server(t)
          server.setSecurity({ ...(await subject.serverSettings()), cypher: 'AES' })
          t.match(await failure(server.listen()), { code: 'EINVAL', message: /cypher/ })
          t.equal(server.listening, false)
        },
      },

      {
        title: 'a call that the system fails later fails what waited for it, and nothing is sent',
        inapplicable: NO_DOUBLE,
        async run(t, subject) {
          for (const syscall of ['WSASetSocketSecurity', 'WSASetSocketPeerTargetName'] as const)
            await t.test(syscall, async t => {
              const { port, receives } = await watchedServer(t, subject)
              systemOf(subject).fails(t, syscall)
              const client = subject.socket(t, {
                security: await subject.clientSettings(),
                peerTargetName: 'host/db.example.com',
              })
              const error = await failure(sending(client, port))
              t.match(error, { syscall })
              t.equal(await failure(client.secured), error)
              t.equal(receives(), 0)
            })
        },
      },
      {
        title: 'nor does a server listen then',
        inapplicable: NO_DOUBLE,
        async run(t, subject) {
          systemOf(subject).fails(t, 'WSASetSocketSecurity')
          const server = subject.server(t, { security: await subject.serverSettings() })
          t.match(await failure(server.listen()), { syscall: 'WSASetSocketSecurity' })
          t.equal(server.listening, false)
        },
      },
    ],
  },

  {
    id: 'R13',
    title: 'no credential that the role needs',
    error: 'ENOCREDENTIAL',
    cases: [
      {
        title: 'a server that cannot prove who it is',
        inapplicable: { winsock: SYSTEM_CREDENTIALS, datagram: BOTH_ROLES },
        async run(t, subject) {
          const key = Buffer.from('0123456789abcdef')
          for (const own of [{}, { ca: [] }, { psk: { identity: 'server', key } }]) {
            const server = subject.server(t, { security: { ...protocolOf(subject), ...own } })
            const what = subject.provider === 'strongswan' ? /cert|ca|psk/ : /cert.*key.*psk/
            const refused = { code: 'ENOCREDENTIAL', message: what }
            t.match(await failure(server.listen()), refused)
            t.equal(server.listening, false)
          }
        },
      },
      {
        title: 'a server that asks for certificates, and does not say whose',
        inapplicable: {
          winsock: SYSTEM_CREDENTIALS,
          strongswan: 'without ca those are trusted whom the daemon trusts',
          datagram: 'its peers may be known by their target names',
        },
        async run(t, subject) {
          for (const ca of [{}, { ca: [] }]) {
            const security = { ...(await subject.serverSettings()), ...ca, requestCert: true }
            t.match(await failure(subject.server(t, { security }).listen()), {
              code: 'ENOCREDENTIAL',
              message: /security\.ca/,
            })
          }
        },
      },
      {
        title: 'a client that trusts nobody',
        inapplicable: { winsock: SYSTEM_CREDENTIALS },
        async run(t, subject) {
          const { port, receives } = await watchedServer(t, subject)
          const own = subject.provider === 'strongswan' ? await subject.clientSettings() : {}
          const client = subject.socket(t, { security: { ...own, ca: [] } })
          t.match(await failure(client.connect(port)), {
            code: 'ENOCREDENTIAL',
            message: /security\.ca/,
          })
          t.equal(receives(), 0)
        },
      },

      {
        title: 'credentials that the system would not use are refused, and not ignored',
        inapplicable: NO_DOUBLE,
        async run(t, subject) {
          const { cert, key, ca } = await testIdentity()
          const psk = { identity: 'sensor', key: Buffer.from('0123456789abcdef') }
          for (const own of [{ cert, key }, { ca }, { psk }]) {
            const { port, receives } = await watchedServer(t, subject)
            const security = { ...(await subject.clientSettings()), ...own }
            const client = subject.socket(t, { security })
            const refused = { code: /^(EINVAL|EOPNOTSUPP)$/, message: Object.keys(own)[0] }
            t.match(await failure(sending(client, port)), refused)
            t.equal(receives(), 0)
            t.match(await failure(subject.server(t, { security }).listen()), refused)
          }
        },
      },
    ],
  },

  {
    id: 'R14',
    title: 'where encryption is not possible, no packet is sent',
    error: 'EPROTO',
    cases: [
      ...['eNULL', 'NULL-SHA256', 'TLS_SHA256_SHA256', 'ECDHE-ECDSA-NULL-SHA:!AES'].map(
        ciphers => ({
          title: `ciphers: ${ciphers}`,
          inapplicable: {
            winsock: 'the policy of the system names the ciphers',
            strongswan: 'IPsec has proposals',
          },
          async run(t: Test, subject: Subject) {
            const { port, receives } = await watchedServer(t, subject)
            const client = subject.socket(t, {
              security: { ...(await subject.clientSettings()), ciphers },
            })
            const refused = { code: 'EPROTO', message: /cipher/ }
            t.match(await failure(sending(client, port)), refused)
            t.equal(receives(), 0)
            const server = subject.server(t, {
              security: { ...(await subject.serverSettings()), ciphers },
            })
            t.match(await failure(server.listen()), { code: 'EPROTO' })
            t.equal(server.listening, false)
          },
        }),
      ),
      {
        title: 'proposals that do not encrypt',
        inapplicable: {
          tls: NO_SYSTEM,
          dtls: NO_SYSTEM,
          winsock: 'the policy of the system names the algorithms',
        },
        async run(t, subject) {
          const refused = { code: 'EINVAL', message: /does not encrypt/ }
          for (const proposal of ['null-sha256', 'aes128gmac-ecp256']) {
            const ipsec = { espProposals: ['aes128gcm16-ecp256', proposal] }
            const { port, receives } = await watchedServer(t, subject)
            const security = { ...(await subject.clientSettings()), ipsec }
            t.match(await failure(sending(subject.socket(t, { security }), port)), refused)
            t.equal(receives(), 0)
            const serving = { ...(await subject.serverSettings()), ipsec }
            t.match(await failure(subject.server(t, { security: serving }).listen()), refused)
          }
        },
      },
      {
        title: 'secured, and not encrypted',
        inapplicable: NO_DOUBLE,
        async run(t, subject) {
          systemOf(subject).encryptsNothing(t)
          const { server, port } = await greetingServer(t, subject)
          const tap = await subject.tap(t, port)
          const client = subject.socket(t, { security: await subject.clientSettings() })
          t.match(await failure(sending(client, tap.port)), { code: 'EPROTO' })
          t.equal(client.heard, '')
          // The system holds a datagram back until it has negotiated, which its double does not.
          if (subject.kind === 'stream') t.equal(tap.toServer().length, 0)
          t.notMatch(tap.toClient().toString('latin1'), /from the server/)
          t.equal(server.heard, '')
        },
      },
    ],
  },

  {
    id: 'R15',
    title: 'clear text only with allowInsecure, and only to a peer that speaks no TLS',
    error: 'EINVAL',
    cases: [
      {
        title: 'of datagrams it is EOPNOTSUPP',
        inapplicable: { stream: 'streams have it' },
        async run(t, subject) {
          const refused = { code: 'EOPNOTSUPP', winsock: 'WSAEOPNOTSUPP' }
          for (const socket of [subject.socket(t), subject.server(t)])
            t.match(await failure(socket.setSecurity(OPEN)), refused)
          t.throws(() => subject.socket(t, { security: OPEN }), refused)
        },
      },
      {
        title: 'it needs an explicit guaranteeEncryption: false',
        inapplicable: { datagram: NEVER_CLEAR },
        async run(t, subject) {
          for (const settings of [
            { allowInsecure: true },
            { allowInsecure: true, guaranteeEncryption: true },
          ])
            for (const socket of [subject.socket(t), subject.server(t)])
              t.match(await failure(socket.setSecurity(settings)), {
                code: 'EINVAL',
                message: /allowInsecure.*guaranteeEncryption: false/,
              })
        },
      },
      {
        title: 'without it a peer in clear gets a handshake and nothing else',
        inapplicable: { datagram: NEVER_CLEAR },
        async run(t, subject) {
          const security = await subject.clientSettings()
          for (const more of [{}, { guaranteeEncryption: false }]) {
            const peer = await subject.clearPeer(t, 'answers')
            const client = subject.socket(t, { security: { ...security, ...more } })
            t.match(await failure(sending(client, peer.port)), { code: subject.codes.clear })
            t.equal(peer.contacts, subject.provider === 'strongswan' ? 0 : 1)
            t.notMatch(peer.received.toString('latin1'), /secret/)
            t.equal(client.heard, '')
          }
        },
      },
      {
        title:
          'with it a peer that answers in clear is dialled again in clear, and the query says so',
        inapplicable: { ...NOT_OF_IPSEC, datagram: NEVER_CLEAR },
        async run(t, subject) {
          const peer = await subject.clearPeer(t, 'answers')
          const client = subject.socket(t, { security: OPEN })
          await sending(client, peer.port)
          await peer.receives('a secret')
          // One that failed, one that looked at the first byte of the answer, one in clear.
          t.equal(peer.contacts, 3)
          t.ok(client.insecure, 'an event says so too')
          t.match(await client.querySecurity(), {
            secured: false,
            encrypted: false,
            protocol: 'none',
          })
        },
      },
      {
        title: 'with it a peer that is silent is dialled again in clear',
        inapplicable: { ...NOT_OF_IPSEC, datagram: NEVER_CLEAR },
        async run(t, subject) {
          const peer = await subject.clearPeer(t, 'is silent')
          const client = subject.socket(t, { security: IMPATIENT })
          await sending(client, peer.port)
          await peer.receives('a secret')
          t.equal(peer.contacts, 2)
          t.match(await client.querySecurity(), { secured: false })
        },
      },
      {
        title: 'never after an alert',
        inapplicable: { ...NOT_OF_IPSEC, datagram: NEVER_CLEAR },
        async run(t, subject) {
          const alert = Buffer.from([21, 3, 3, 0, 2, 2, 40])
          const peer = await subject.clearPeer(t, alert)
          const client = subject.socket(t, { security: OPEN })
          const error = await failure(client.connect(peer.port))
          t.match(error, { code: /^ERR_SSL_.*ALERT/ })
          t.equal(peer.contacts, 1)
          t.match(
            error,
            { code: 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', message: /no common ground/ },
            'the same code on every version of Node',
          )
        },
      },
      {
        title: 'never after a beginning of TLS',
        inapplicable: { ...NOT_OF_IPSEC, datagram: NEVER_CLEAR },
        async run(t, subject) {
          const half = Buffer.from([22, 3, 3, 0, 100, 2])
          const peer = await subject.clearPeer(t, half)
          const client = subject.socket(t, { security: IMPATIENT })
          const timeout = { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' }
          t.match(await failure(client.connect(peer.port)), timeout)
          t.equal(peer.contacts, 1)
        },
      },
      {
        title: 'never to a peer that hangs up',
        inapplicable: { ...NOT_OF_IPSEC, datagram: NEVER_CLEAR },
        async run(t, subject) {
          const peer = await subject.clearPeer(t, 'closes')
          const client = subject.socket(t, { security: OPEN })
          t.match(await failure(client.connect(peer.port)), { code: /^(ECONNRESET|EPIPE)$/ })
          t.equal(peer.contacts, 1)
        },
      },
      {
        title: 'never after a failure of authentication or name',
        inapplicable: { ...NOT_OF_IPSEC, datagram: NEVER_CLEAR },
        async run(t, subject) {
          const other = await testIdentity(['other.example.com'])
          for (const [identity, code] of [
            [await strangerIdentity(), /UNABLE_TO|SELF_SIGNED/],
            [await expiredIdentity(), /EXPIRED/],
            [other, /NAME_MISMATCH/],
          ] as const) {
            const { cert, key } = identity
            const port = await subject.server(t, { security: { cert, key } }).listen()
            const tap = await subject.tap(t, port)
            const security = { ...(await subject.clientSettings()), ...OPEN }
            const client = subject.socket(t, { security })
            t.match(await failure(sending(client, tap.port)), { code })
            t.equal(tap.contacts, 1)
            t.notMatch(tap.toServer().toString('latin1'), /secret/)
          }
        },
      },
      {
        title: 'never to a peer with a target name',
        inapplicable: { ...NOT_OF_IPSEC, datagram: NEVER_CLEAR },
        async run(t, subject) {
          for (const behaviour of ['answers', 'is silent'] as const) {
            const peer = await subject.clearPeer(t, behaviour)
            const client = subject.socket(t, { security: IMPATIENT, peerTargetName: 'localhost' })
            t.match(await failure(client.connect(peer.port)), { code: /^ERR_(SSL|TLS)_/ })
            t.equal(peer.contacts, 1)
          }
        },
      },
      {
        title: 'never again by a socket that was secured once',
        inapplicable: { ...NOT_OF_IPSEC, datagram: NEVER_CLEAR },
        async run(t, subject) {
          const { client } = await connection(t, subject, { client: OPEN })
          await client.destroy()
          const peer = await subject.clearPeer(t, 'answers')
          t.match(await failure(client.connect(peer.port)), { code: /^ERR_SSL_/ })
          t.equal(peer.contacts, 1)
        },
      },
      {
        title: 'a server decides by the first byte',
        inapplicable: { ...NOT_OF_IPSEC, datagram: NEVER_CLEAR },
        async run(t, subject) {
          const security = { ...(await subject.serverSettings()), ...OPEN }
          const server = subject.server(t, { security })
          const port = await server.listen()
          const secured = subject.socket(t, { security: await subject.clientSettings() })
          await secured.connect(port)
          t.match(await (await server.accepted()).querySecurity(), { secured: true })
          const peer = await subject.clearClient(t, port)
          peer.send('in clear')
          const accepted = await server.accepted()
          t.match(await accepted.querySecurity(), { secured: false, protocol: 'none' })
          t.equal(await accepted.hears(8), 'in clear')
          t.equal(server.insecure, 1, 'an event says so, for this one alone')
        },
      },
      {
        title: 'a server that hears nothing takes the peer for one in clear',
        inapplicable: { ...NOT_OF_IPSEC, datagram: NEVER_CLEAR },
        async run(t, subject) {
          const security = { ...(await subject.serverSettings()), ...IMPATIENT }
          const server = subject.server(t, { security, greeting: '220 hello' })
          const peer = await subject.clearClient(t, await server.listen())
          t.equal(await peer.hears(9), '220 hello')
          t.match(await (await server.accepted()).querySecurity(), { secured: false })
        },
      },
      {
        title: 'a server without it lets no clear byte in or out',
        inapplicable: { datagram: NEVER_CLEAR, strongswan: NEVER_ARRIVES },
        async run(t, subject) {
          for (const security of [
            await subject.serverSettings(),
            { ...(await subject.serverSettings()), guaranteeEncryption: false },
          ]) {
            const server = subject.server(t, { security, greeting: '220 hello' })
            const peer = await subject.clearClient(t, await server.listen())
            peer.send('in clear')
            await server.refused()
            await peer.closed()
            t.equal(server.heard, '')
            t.notMatch(peer.heard, /hello/)
          }
        },
      },
      {
        title: 'a server with it refuses a peer that began TLS and failed',
        inapplicable: { ...NOT_OF_IPSEC, datagram: NEVER_CLEAR },
        async run(t, subject) {
          const security = { ...(await subject.serverSettings()), ...OPEN }
          const server = subject.server(t, { security, greeting: '220 hello' })
          const peer = await subject.clearClient(t, await server.listen())
          peer.send('\x16\x03\x01\x00\x05nonsense')
          await server.refused()
          await peer.closed()
          t.notMatch(peer.heard, /hello/)
        },
      },
      {
        title: 'a server that requires certificates cannot have it',
        inapplicable: { ...NOT_OF_IPSEC, datagram: NEVER_CLEAR },
        async run(t, subject) {
          const { ca } = await testIdentity()
          const security = { ...(await subject.serverSettings()), ...OPEN, ca, requestCert: true }
          const refused = { code: 'EINVAL', message: /allowInsecure.*client certificates/ }
          t.match(await failure(subject.server(t).setSecurity(security)), refused)
        },
      },
      {
        title: 'IPsec cannot have it',
        inapplicable: { datagram: NEVER_CLEAR },
        async run(t, subject) {
          const settings = { ...OPEN, protocol: 'ipsec' }
          const refused = { code: 'EOPNOTSUPP', winsock: 'WSAEOPNOTSUPP' }
          t.match(await failure(subject.socket(t).setSecurity(settings)), refused)
        },
      },
    ],
  },

  {
    id: 'R16',
    title: 'setting a target name takes a target name',
    error: 'EFAULT',
    cases: [
      {
        title: 'undefined, null and the empty text are none',
        async run(t, subject) {
          const refused = {
            code: 'EFAULT',
            winsock: 'WSAEFAULT',
            syscall: 'WSASetSocketPeerTargetName',
          }
          for (const name of [undefined, null, ''])
            t.match(await failure(subject.socket(t).setPeerTargetName(name)), refused)
          if (subject.kind === 'datagram') return
          for (const peerTargetName of [null as never, ''])
            t.throws(() => subject.socket(t, { peerTargetName }), refused)
        },
      },
    ],
  },

  {
    id: 'R17',
    title: 'the address of a datagram peer is not zero',
    error: 'EINVAL',
    inapplicable: { stream: ONE_PEER },
    cases: [
      {
        title: 'nor missing, nor without a host; and the port is one',
        async run(t, subject) {
          const socket = datagramSocket(t, subject)
          for (const peer of [
            { address: '0.0.0.0', port: 0 },
            { address: '0.0.0.0', port: 5000 },
            { address: '0.0.0.0' },
            { address: '::', port: 0 },
            { address: '::ffff:0.0.0.0', port: 5000 },
            { address: '', port: 5000 },
            { port: 5000 },
            { address: '10.0.0.5', port: 65536 },
            { address: '10.0.0.5', port: -1 },
          ]) {
            const refused = { code: 'EINVAL', winsock: 'WSAEINVAL' }
            const named = { ...peer, targetName: 'host/a.example' } as never
            t.match(await failure(socket.setPeerTargetName(named)), {
              ...refused,
              syscall: 'WSASetSocketPeerTargetName',
            })
            t.match(await failure(socket.deletePeerTargetName(peer as never)), {
              ...refused,
              syscall: 'WSADeleteSocketPeerTargetName',
            })
          }
          await socket.setPeerTargetName({ address: '10.0.0.5', targetName: 'host/a.example' })
        },
      },
    ],
  },

  {
    id: 'R18',
    title: 'a target name comes before connect, or before the first send to the peer',
    error: 'EISCONN',
    cases: [
      {
        title: 'connecting, connected, or accepted',
        async run(t, subject) {
          const { client, accepted, port } = await connection(t, subject)
          const connecting = subject.socket(t, { security: await subject.clientSettings() })
          connecting.connect(port)
          for (const socket of [connecting, client, accepted])
            t.match(await failure(socket.setPeerTargetName('localhost')), {
              code: 'EISCONN',
              winsock: 'WSAEISCONN',
              syscall: 'WSASetSocketPeerTargetName',
            })
          await connecting.secured
          t.match(await connecting.querySecurity(), { peer: { targetName: subject.derivedName } })
        },
      },
      {
        title: 'of a datagram peer: before the first datagram to it, and that alone',
        inapplicable: { stream: ONE_PEER },
        async run(t, subject) {
          const [first, second] = [
            await subject.server(t, { security: await subject.serverSettings() }).listen(),
            await subject.server(t, { security: await subject.serverSettings() }).listen(),
          ]
          const address = HOST
          const socket = datagramSocket(t, subject, { security: await subject.clientSettings() })
          socket.send('x', first, address)
          const targetName = 'host/db.example.com'
          const refused = { code: 'EISCONN', winsock: 'WSAEISCONN' }
          const named = () => socket.setPeerTargetName({ address, port: first, targetName })
          t.match(await failure(named()), refused, 'while it waits to be bound')
          await secure(subject, socket, { address, port: first })
          t.match(await failure(named()), refused, 'when it is secured')
          await socket.setPeerTargetName({ address, port: second, targetName })
          t.match(await secure(subject, socket, { address, port: second }), {
            peer: { targetName },
          })
        },
      },
      {
        title: 'before that the last name counts',
        async run(t, subject) {
          const port = await subject
            .server(t, { security: await subject.serverSettings() })
            .listen()
          const client = subject.socket(t, {
            security: await subject.clientSettings(),
            peerTargetName: 'other.example.com',
          })
          await client.setPeerTargetName('host/db.example.com')
          await client.connect(port)
          t.match(await client.querySecurity(), { peer: { targetName: 'host/db.example.com' } })
        },
      },
    ],
  },

  {
    id: 'R19',
    title: 'a datagram socket has many target names, one for each peer',
    inapplicable: { stream: ONE_PEER },
    cases: [
      {
        title: 'each proves its own; a port comes before the whole address',
        inapplicable: { winsock: NO_CERTIFICATES },
        async run(t, subject) {
          const address = HOST
          const socket = datagramSocket(t, subject, { security: await subject.clientSettings() })
          const ports = new Map<string, number>()
          for (const name of ['a.example', 'b.example', 'c.example']) {
            const security = await serverWith(subject, await testIdentity([name]))
            ports.set(name, await subject.server(t, { security }).listen())
          }
          const port = (name: string) => ports.get(name) as number
          await socket.setPeerTargetName({ address, targetName: 'host/a.example' })
          for (const name of ['b.example', 'c.example'])
            await socket.setPeerTargetName({
              address,
              port: port(name),
              targetName: name === 'c.example' ? 'host/somebody.example' : `host/${name}`,
            })
          for (const name of ['a.example', 'b.example'])
            t.match(await socket.secure({ address, port: port(name) }), {
              peer: { targetName: `host/${name}` },
            })
          t.match(await failure(socket.secure({ address, port: port('c.example') })), {
            code: mismatch(subject),
          })
          t.equal(socket.peers().length, 2, 'the others go on')
        },
      },

      {
        title: 'each reaches the system with the address of its peer',
        inapplicable: NO_DOUBLE,
        async run(t, subject) {
          const address = HOST
          const socket = datagramSocket(t, subject, { security: await subject.clientSettings() })
          const told = []
          for (const name of ['a.example', 'b.example', 'c.example']) {
            const server = subject.server(t, { security: await subject.serverSettings() })
            const peer = { address, port: await server.listen() }
            await socket.setPeerTargetName({ ...peer, targetName: `host/${name}` })
            told.push({ ...peer, name: `host/${name}` })
          }
          const names = systemOf(subject).names(t)
          for (const { port, name: targetName } of told) {
            const info = await secure(subject, socket, { address, port })
            t.match(info, { peer: { targetName } })
          }
          t.same(names(), told)
        },
      },
      {
        title: 'the system is told a port’s own name before that of the whole address',
        inapplicable: { stream: ONE_PEER, ...NO_DOUBLE },
        async run(t, subject) {
          const address = HOST
          const socket = datagramSocket(t, subject, { security: await subject.clientSettings() })
          const listen = async () =>
            subject.server(t, { security: await subject.serverSettings() }).listen()
          const [own, other] = [await listen(), await listen()]
          await socket.setPeerTargetName({ address, targetName: 'host/a.example' })
          await socket.setPeerTargetName({ address, port: own, targetName: 'host/b.example' })
          for (const [port, targetName] of [
            [own, 'host/b.example'],
            [other, 'host/a.example'],
          ] as const) {
            const names = systemOf(subject).names(t)
            const info = await secure(subject, socket, { address, port })
            t.match(info, { peer: { targetName } })
            t.match(
              names().filter(each => each.port === port),
              [{ address, port, name: targetName }],
            )
          }
        },
      },
    ],
  },

  {
    id: 'R20',
    title: 'the peer proves its target name in every handshake, or nothing passes',
    error: 'ERR_PEER_TARGET_NAME_MISMATCH',
    cases: [
      {
        title: 'every kind of name that it can prove',
        inapplicable: { winsock: NO_CERTIFICATES },
        async run(t, subject) {
          const identity = await testIdentity(SERVER_NAMES)
          const { pin } = identity
          await subject.forget?.()
          const security =
            subject.provider === 'strongswan'
              ? await serverWith(subject, identity)
              : await subject.serverSettings()
          const port = await subject.server(t, { security }).listen()
          const names =
            subject.provider === 'strongswan' ? SERVER_NAMES.slice(0, -1) : [...SERVER_NAMES, pin]
          for (const peerTargetName of [...names, 'host/db.example.com:5000/x']) {
            const client = subject.socket(t, {
              security: await subject.clientSettings(),
              peerTargetName,
            })
            await client.connect(port)
            const { peer } = await client.querySecurity()
            t.equal(peer?.targetName, peerTargetName)
            if (subject.provider !== 'strongswan') t.equal(peer?.pin, pin)
          }
        },
      },
      {
        title: 'another name: both are named, and no byte of either side is delivered',
        inapplicable: { winsock: NO_CERTIFICATES },
        async run(t, subject) {
          for (const peerTargetName of [
            'other.example.com',
            'host/other.example.com',
            'spiffe://example.org/other',
            '127.0.0.2',
            (await strangerIdentity()).pin,
          ]) {
            // IKE knows neither URIs nor pins.
            if (subject.provider === 'strongswan' && /^(spiffe|sha256)/.test(peerTargetName))
              continue
            const security = await subject.serverSettings()
            const server = subject.server(t, { security, greeting: 'from the server' })
            const port = await server.listen()
            const client = subject.socket(t, {
              security: await subject.clientSettings(),
              peerTargetName,
            })
            const error = await failure(sending(client, port))
            t.match(error, { code: mismatch(subject), peer: `${HOST}:${port}` })
            const asked = subject.provider === 'strongswan' ? /other|127/ : peerTargetName
            t.match(error.message, asked, 'the name that was asked for')
            const proved = peerTargetName.startsWith('sha256/') ? 'sha256/' : 'db.example.com'
            // A peer of IKE that has no such identity proves none.
            if (subject.provider !== 'strongswan')
              t.ok(
                error.message.split(peerTargetName).join('').includes(proved),
                'and the proved one',
              )
            t.equal(await failure(client.secured), error)
            await server.close()
            t.equal(server.heard, '')
            t.equal(client.heard, '')
          }
        },
      },
      {
        title: 'without a name that is set, the name is the host',
        inapplicable: { winsock: NO_CERTIFICATES },
        async run(t, subject) {
          await subject.forget?.()
          const security = await serverWith(subject, await testIdentity(['localhost', '::1']))
          const port = await subject.server(t, { security }).listen()
          const client = subject.socket(t, { security: await subject.clientSettings() })
          t.match(await failure(client.connect(port)), {
            code: mismatch(subject),
            message: subject.provider === 'strongswan' ? /10\.9\.0\.2/ : /127\.0\.0\.1.*localhost/,
          })
        },
      },
      {
        title: 'a peer that cannot be authenticated: no byte of either side is delivered',
        async run(t, subject) {
          for (const { title, code, prepare, client: more } of subject.impostors)
            await t.test(title, async t => {
              await subject.forget?.()
              const security = await prepare(t)
              const server = subject.server(t, { security, greeting: 'from the server' })
              const port = await server.listen()
              const client = subject.socket(t, {
                security: { ...(await subject.clientSettings()), ...more },
              })
              const error = await failure(sending(client, port))
              t.match(error, { code })
              t.equal(await failure(client.secured), error)
              await client.destroy()
              await server.close()
              t.equal(server.heard, '')
              t.equal(client.heard, '')
            })
        },
      },
      {
        title: 'a resumed session proves the name that it was made for, and no other',
        inapplicable: { winsock: NO_TLS, strongswan: NO_TLS },
        async run(t, subject) {
          const security = await subject.serverSettings()
          const server = subject.server(t, { security, greeting: 'from the server' })
          const port = await server.listen()
          const connect = async (peerTargetName: string) => {
            const client = subject.socket(t, {
              security: await subject.clientSettings(),
              peerTargetName,
            })
            await client.connect(port)
            // The tickets for the next connection come before the first data, and are seen soon after.
            await client.hears(15)
            client.send('ping')
            await (await server.accepted()).hears(4)
            return client
          }
          const first = await (await connect('db.example.com')).querySecurity()
          const second = await (await connect('db.example.com')).querySecurity()
          t.equal(first.resumed, false)
          t.equal(second.resumed, true)
          t.same(
            plain(second).peer,
            plain(first).peer,
            'the identity is that of the full handshake',
          )
          t.match(await failure(connect('other.example.com')), {
            code: 'ERR_PEER_TARGET_NAME_MISMATCH',
          })
          t.match(await (await connect('localhost')).querySecurity(), {
            resumed: false,
            peer: { targetName: 'localhost' },
          })
        },
      },
      {
        title: 'a shared key proves no name',
        inapplicable: { winsock: NO_TLS },
        async run(t, subject) {
          const psk = { identity: 'sensor', key: Buffer.from('0123456789abcdef') }
          const { port, receives } = await watchedServer(t, subject)
          const security = { ...protocolOf(subject), psk }
          const client = subject.socket(t, { security, peerTargetName: 'localhost' })
          t.match(await failure(client.connect(port)), {
            code: 'EINVAL',
            message: /psk.*localhost/,
          })
          t.equal(receives(), 0)
        },
      },
      {
        title: 'a server that requires certificates lets no stranger’s byte in',
        inapplicable: { winsock: NO_CERTIFICATES },
        async run(t, subject) {
          const { ca } = await testIdentity()
          const security = { ...(await subject.serverSettings()), ca, requestCert: true }
          const server = subject.server(t, { security, greeting: 'from the server' })
          const port = await server.listen()
          const { cert, key } = await strangerIdentity(['client.example'])
          for (const own of [{}, { cert, key }]) {
            const client = subject.socket(t, { security: { ...protocolOf(subject), ca, ...own } })
            const outcome = sending(client, port)
            if (subject.provider === 'strongswan') {
              const code = /^(ENOCREDENTIAL|ERR_PEER_NOT_AUTHENTICATED)$/
              t.match(await failure(outcome), { code })
            } else if (subject.kind === 'stream') {
              await server.refused()
              await client.closed()
            } else {
              // Its peers are told by an alert; nobody is told of strangers.
              t.match(await failure(outcome), { code: /^ERR_SSL_/ })
            }
            t.equal(client.heard, '')
          }
          await server.close()
          t.equal(server.heard, '')
        },
      },

      {
        title: 'the system is told the name that was set, else the host’s, and checks it itself',
        inapplicable: NO_DOUBLE,
        async run(t, subject) {
          const security = await subject.serverSettings()
          const port = await subject.server(t, { security }).listen()
          for (const [peerTargetName, name] of [
            ['host/db.example.com', 'host/db.example.com'],
            ['ldap/db.example.com:636/example.com', 'ldap/db.example.com:636/example.com'],
            ['db.example.com', 'host/db.example.com'],
            [undefined, 'host/127.0.0.1'],
          ]) {
            const names = systemOf(subject).names(t)
            const client = subject.socket(t, {
              security: await subject.clientSettings(),
              ...(peerTargetName === undefined ? {} : { peerTargetName }),
            })
            await client.connect(port)
            t.same([...new Set(names().map(each => each.name))], [name])
          }
        },
      },
      {
        title: 'a name that the system cannot check is refused',
        inapplicable: NO_DOUBLE,
        async run(t, subject) {
          const { pin } = await testIdentity()
          for (const peerTargetName of [pin, 'spiffe://example.org/db']) {
            const { port, receives } = await watchedServer(t, subject)
            const client = subject.socket(t, {
              security: await subject.clientSettings(),
              peerTargetName,
            })
            t.match(await failure(sending(client, port)), { code: 'EINVAL' })
            t.equal(receives(), 0)
          }
        },
      },
    ],
  },

  {
    id: 'R21',
    title: 'a deleted target name serves no future authentication; a stream’s name is not deleted',
    error: 'EINVAL',
    cases: [
      {
        title: 'of a stream: EINVAL, before and after connect',
        inapplicable: { datagram: 'its names are deleted one by one' },
        async run(t, subject) {
          const { client, accepted } = await connection(t, subject)
          for (const socket of [client, accepted, subject.socket(t)])
            t.match(await failure(socket.deletePeerTargetName()), {
              code: 'EINVAL',
              winsock: 'WSAEINVAL',
              syscall: 'WSADeleteSocketPeerTargetName',
            })
        },
      },
      {
        title: 'of a datagram peer: its association lives on, and is not renewed',
        inapplicable: { stream: ONE_PEER, winsock: NO_CERTIFICATES },
        async run(t, subject) {
          const port = await subject
            .server(t, { security: await subject.serverSettings() })
            .listen()
          const socket = datagramSocket(t, subject, { security: await subject.clientSettings() })
          const peer = { address: HOST, port }
          await socket.setPeerTargetName({ ...peer, targetName: 'host/db.example.com' })
          await socket.secure(peer)
          await socket.deletePeerTargetName(peer)
          t.match(await socket.querySecurity(peer), { peer: { targetName: 'host/db.example.com' } })
          socket.closePeer(peer)
          // By its address, from now on; and what was proved under the name is not resumed.
          const info =
            subject.provider === 'strongswan'
              ? await securedAgain(socket, peer)
              : await socket.secure(peer)
          t.match(info, { resumed: false, peer: { targetName: HOST } })
        },
      },

      {
        title: 'of a datagram peer: the system is told so, and what it has secured lives on',
        inapplicable: { stream: ONE_PEER, ...NO_DOUBLE },
        async run(t, subject) {
          const server = subject.server(t, { security: await subject.serverSettings() })
          const peer = { address: HOST, port: await server.listen() }
          const socket = datagramSocket(t, subject, { security: await subject.clientSettings() })
          await socket.setPeerTargetName({ ...peer, targetName: 'host/db.example.com' })
          await secure(subject, socket, peer)
          const names = systemOf(subject).names(t)
          await socket.deletePeerTargetName(peer)
          t.same(names(), [{ ...peer, name: null }])
          t.match(await socket.querySecurity(peer), { secured: true })
          socket.send('still', peer.port, peer.address)
          t.equal(await (await server.accepted()).hears(5), 'still')
        },
      },
    ],
  },

  {
    id: 'R22',
    title: 'the security can be asked for again and again once there is a connection',
    error: 'ENOTCONN',
    cases: [
      {
        title: 'before that there is none to ask for',
        async run(t, subject) {
          const port = await subject
            .server(t, { security: await subject.serverSettings() })
            .listen()
          const socket = subject.socket(t, { security: await subject.clientSettings() })
          const refused = {
            code: 'ENOTCONN',
            winsock: 'WSAENOTCONN',
            syscall: 'WSAQuerySocketSecurity',
          }
          t.match(await failure(socket.querySecurity()), refused, 'new')
          const connected = socket.connect(port)
          t.match(await failure(socket.querySecurity()), refused, 'connecting')
          await connected
          t.ok(await socket.querySecurity())
        },
      },
      {
        title: 'what the client learns of the server by its certificate',
        inapplicable: { winsock: NO_CERTIFICATES, strongswan: NO_CERTIFICATES },
        async run(t, subject) {
          const { client } = await connection(t, subject)
          const certificate = new X509Certificate((await testIdentity(SERVER_NAMES)).cert)
          const info = await client.querySecurity()
          t.match(info, {
            secured: true,
            encrypted: true,
            protocol: subject.provider,
            cipher: /\w/,
            resumed: false,
            peer: {
              targetName: HOST,
              names: SERVER_NAMES,
              pin: (await testIdentity(SERVER_NAMES)).pin,
            },
          })
          // A datagram peer proves its identity anew long before that.
          const [expires, end] = [Number(info.expires), Date.parse(certificate.validTo)]
          t.ok(subject.kind === 'stream' ? expires === end : expires > Date.now() && expires <= end)
          t.ok(info.peer?.certificate?.raw.equals(certificate.raw))
          t.same(plain(await client.secured), plain(info), 'the promise gives the same')
        },
      },
      {
        title: 'what the server learns of the client',
        async run(t, subject) {
          const { accepted, names } = await mutualConnection(t, subject)
          const info = await accepted.querySecurity()
          t.match(info, { secured: true, encrypted: true })
          t.same(provedNames(info.peer), names)
          if (subject.provider !== 'winsock') t.ok(info.expires)
          if (subject.provider === 'strongswan') return t.comment(ALWAYS_MUTUAL)
          const { accepted: anonymous } = await connection(t, subject, await subject.anonymous(t))
          t.notOk((await anonymous.querySecurity()).peer, 'nothing, where it asked for nothing')
        },
      },
      {
        title: 'twice, the same',
        async run(t, subject) {
          const { client, accepted } = await mutualConnection(t, subject)
          for (const socket of [client, accepted]) {
            const first = await socket.querySecurity()
            socket.send('data in between')
            t.same(plain(await socket.querySecurity()), plain(first))
          }
        },
      },

      {
        title: 'what the client learns of the server from the system',
        inapplicable: { tls: NO_SYSTEM, dtls: NO_SYSTEM },
        async run(t, subject) {
          const { client } = await connection(t, subject)
          const info = await client.querySecurity()
          t.match(info, {
            secured: true,
            encrypted: true,
            protocol: 'ipsec',
            resumed: false,
            peer: { targetName: subject.derivedName },
          })
          t.same(plain(await client.secured), plain(info), 'the promise gives the same')
        },
      },
    ],
  },

  {
    id: 'R23',
    title: 'impersonation: a function runs as the peer, and it always reverts',
    cases: [
      {
        title: 'inside, and in all that it starts',
        async run(t, subject) {
          const { accepted, names } = await peerHere(t, subject)
          t.equal(currentPeer(), undefined)
          const inside = accepted.impersonatePeer(() => {
            const later = setImmediate().then(() => provedNames(currentPeer()))
            return { now: provedNames(currentPeer()), later }
          })
          t.equal(currentPeer(), undefined)
          t.same(inside.now, names)
          t.same(await inside.later, names)
          t.equal(currentPeer(), undefined)
        },
      },
      {
        title: 'at the client too',
        async run(t, subject) {
          const { client } = await mutualConnection(t, subject)
          t.equal(
            client.impersonatePeer(() => currentPeer()?.targetName),
            subject.derivedName,
          )
        },
      },
      {
        title: 'after an error that is thrown',
        async run(t, subject) {
          const { accepted } = await peerHere(t, subject)
          const fail = () => {
            throw new Error('inside')
          }
          t.throws(() => accepted.impersonatePeer(fail), { message: 'inside' })
          t.equal(currentPeer(), undefined)
        },
      },
      {
        title: 'after a rejection',
        inapplicable: { winsock: 'what is asynchronous is not run as a peer by the system' },
        async run(t, subject) {
          const { accepted } = await peerHere(t, subject)
          const rejected = accepted.impersonatePeer(async () => {
            throw new Error('inside')
          })
          t.match(await failure(rejected), { message: 'inside' })
          t.equal(currentPeer(), undefined)
        },
      },
      {
        title: 'the system runs nothing asynchronous as a peer: it would run other code as well',
        inapplicable: NO_DOUBLE,
        async run(t, subject) {
          const { accepted } = await mutualConnection(t, subject)
          t.throws(() => accepted.impersonatePeer(async () => {}), {
            code: 'EINVAL',
            syscall: 'WSAImpersonateSocketPeer',
          })
          t.equal(currentPeer(), undefined)
          t.equal(systemOf(subject).impersonating, false)
          t.equal(
            accepted.impersonatePeer(() => systemOf(subject).impersonating),
            true,
          )
          t.equal(systemOf(subject).impersonating, false)
        },
      },
      {
        title: 'two peers at the same time are not mixed up, nor one inside the other',
        inapplicable: { strongswan: OTHER_HOST },
        async run(t, subject) {
          const { client, accepted, names } = await mutualConnection(t, subject)
          // The one by the name that the server needed to prove, the other by what it has proved.
          const name = () => currentPeer()?.targetName ?? provedNames(currentPeer())?.[0]
          const slowly = () => [setImmediate().then(name)]
          const both = [...accepted.impersonatePeer(slowly), ...client.impersonatePeer(slowly)]
          t.same(await Promise.all(both), [names[0], subject.derivedName])
          const nested = accepted.impersonatePeer(() => [
            name(),
            client.impersonatePeer(name),
            name(),
          ])
          t.same(nested, [names[0], subject.derivedName, names[0]])
        },
      },
      {
        title: 'a peer that proved nothing cannot be impersonated, and nothing runs',
        inapplicable: { strongswan: ALWAYS_MUTUAL },
        async run(t, subject) {
          const { accepted } = await connection(t, subject, await subject.anonymous(t))
          let ran = false
          const run = () => {
            ran = true
          }
          const syscall = 'WSAImpersonateSocketPeer'
          const hint = subject.provider === 'winsock' ? {} : { message: /requestCert/ }
          const unknown = { code: 'ERR_PEER_NOT_AUTHENTICATED', syscall, ...hint }
          t.throws(() => accepted.impersonatePeer(run), unknown)
          const unconnected = { code: 'ENOTCONN', syscall }
          t.throws(() => subject.socket(t).impersonatePeer(run), unconnected)
          t.equal(ran, false)
        },
      },
    ],
  },

  {
    id: 'R24',
    title: 'closing the socket removes all that secured it, after outstanding data has left',
    cases: [
      {
        title: 'what was sent before the close arrives',
        async run(t, subject) {
          const { client, accepted } = await connection(t, subject)
          const data = 'outstanding '.repeat(subject.kind === 'stream' ? 100_000 : 1000)
          client.send(data)
          const closed = client.close()
          t.equal((await accepted.hears(data.length)) === data, true)
          await closed
        },
      },
      {
        title: 'nothing is left of a connection, whoever closes it and how',
        async run(t, subject) {
          for (const end of [
            ({ client }: Connection) => client.close(),
            ({ client }: Connection) => client.destroy(),
            ({ accepted }: Connection) => accepted.close(),
            ({ accepted }: Connection) => accepted.destroy(),
          ]) {
            const sockets = await mutualConnection(t, subject)
            await end(sockets)
            // By IPsec no datagram peer is told that the other has gone.
            if (!/^(winsock|strongswan) datagram$/.test(subject.name))
              await Promise.all([sockets.client.closed(), sockets.accepted.closed()])
            await sockets.server.close()
            // The socket of a datagram peer outlives it.
            if (subject.kind === 'datagram') await sockets.client.destroy()
            for (const socket of [sockets.client, sockets.accepted])
              t.match(await failure(socket.querySecurity()), { code: 'ENOTSOCK' })
            t.equal(await settled(subject), idle.get(subject))
          }
        },
      },
      {
        title: 'the end of a connection does not touch the next one of the same socket',
        inapplicable: { datagram: 'it is not opened again' },
        async run(t, subject) {
          const { client, port } = await connection(t, subject)
          await client.destroy()
          await client.connect(port)
          t.match(await client.querySecurity(), { secured: true }, "after 'close'")
          client.destroy()
          client.connect(port)
          t.match(await client.secured.catch(error => error), { secured: true }, 'before it')
        },
      },
      {
        title: 'nor of one that is given up on the way',
        async run(t, subject) {
          await settled(subject)
          const peer = await subject.clearPeer(t, 'is silent')
          const before = subject.resources()
          const client = subject.socket(t, { security: await subject.clientSettings() })
          client.connect(peer.port)
          // By strongSwan nothing reaches a peer that negotiates nothing.
          if (subject.provider !== 'strongswan') await peer.contacted()
          t.ok(subject.resources() > before, 'a socket and a timer, at least')
          await client.destroy()
          await peer.close()
          t.equal(await settled(subject), idle.get(subject))
        },
      },
    ],
  },

  {
    id: 'precedence',
    title: 'R6, then R2 and R3, then R4, then R7 and R8',
    cases: [
      {
        title: 'R6 before R2: a closed socket of another family',
        inapplicable: { datagram: NO_PIPES },
        async run(t, subject) {
          const socket = await subject.foreignSocket(t)
          await socket.destroy()
          t.match(await failure(socket.setSecurity({})), { code: 'ENOTSOCK' })
        },
      },
      {
        title: 'R6 before R3, R4 and R8: closed, and was connected, and set, and now set wrongly',
        async run(t, subject) {
          const { client } = await connection(t, subject)
          await client.destroy()
          t.match(await failure(client.setSecurity({ cypher: 'AES' })), { code: 'ENOTSOCK' })
          t.match(await failure(client.setSecurity({})), { code: 'ENOTSOCK' })
        },
      },
      {
        title: 'R6 before R7: a server that has listened and is closed',
        async run(t, subject) {
          const server = subject.server(t, { security: await subject.serverSettings() })
          await server.listen()
          await server.close()
          t.match(await failure(server.setSecurity({ cypher: 'AES' })), { code: 'ENOTSOCK' })
          t.match(await failure(server.setSecurity({})), { code: 'ENOTSOCK' })
        },
      },
      {
        title: 'R2 before R4 and R8: a pipe that is set already, and now connects',
        inapplicable: { datagram: NO_PIPES },
        async run(t, subject) {
          const socket = await subject.foreignSocket(t, {
            security: await subject.clientSettings(),
          })
          t.match(await failure(socket.setSecurity({})), { code: 'EAFNOSUPPORT' })
          const peer = await subject.foreignPeer(t)
          const client = subject.socket(t)
          client.setSecurity({})
          t.match(await failure(client.connectForeign(peer.path)), { code: 'EAFNOSUPPORT' })
        },
      },
      {
        title: 'R3 before R4: connected, and set wrongly',
        async run(t, subject) {
          const { client, accepted } = await connection(t, subject)
          for (const socket of [client, accepted])
            t.match(await failure(socket.setSecurity({ cypher: 'AES' })), { code: 'EINVAL' })
        },
      },
      {
        title: 'R3 before R7 and R8: the mistake in the settings is the one that is told',
        async run(t, subject) {
          const server = subject.server(t, { security: await subject.serverSettings() })
          const refused = { code: 'EINVAL', message: /cypher/ }
          t.match(await failure(server.setSecurity({ cypher: 'AES' })), refused)
          const listening = subject.server(t, { security: await subject.serverSettings() })
          await listening.listen()
          t.match(await failure(listening.setSecurity({ cypher: 'AES' })), refused)
        },
      },
      {
        title: 'R4 before R8: connected, and set already',
        async run(t, subject) {
          const { client } = await connection(t, subject)
          t.match(await failure(client.setSecurity(await subject.clientSettings())), {
            code: 'EISCONN',
          })
        },
      },
      {
        title: 'R4 before R7: connected and bound',
        inapplicable: { stream: 'connect() alone binds a stream' },
        async run(t, subject) {
          const port = await subject
            .server(t, { security: await subject.serverSettings() })
            .listen()
          const socket = datagramSocket(t, subject)
          socket.bind(0)
          socket.connect(port, HOST)
          t.match(await failure(socket.setSecurity({})), { code: 'EISCONN' })
        },
      },
    ],
  },
]

// The runner.

/** Of this one only, and of these rules, where the table is run in parts: `strongswan stream/1-12`. */
const [part, first = 0, last = Number.POSITIVE_INFINITY] =
  /^(.*)\/(\d+)-(\d+)$/.exec(process.env.RULES ?? '')?.slice(1) ?? []

for (const subject of subjects.filter(each => part === undefined || each.name === part)) {
  t.test(subject.name, async t => {
    for (const [index, rule] of rules.entries()) {
      if (index + 1 < Number(first) || index + 1 > Number(last)) continue
      const skip = reason(rule.inapplicable, subject, rule.id)
      t.test(`${rule.id} ${rule.title}`, skip ? { skip } : {}, async t => {
        if (rule.cases.length === 0) t.fail('no case shows it, and no reason says why not')
        for (const each of rule.cases) {
          const skip =
            each.pending ?? reason(each.inapplicable, subject, `${rule.id}: ${each.title}`)
          t.test(each.title, skip ? { skip } : {}, async t => {
            if (each.run) await each.run(t, subject)
            else t.fail('nothing is run, and no reason says why not')
          })
        }
      })
    }
  })
}

if (noDouble && !inGuest) {
  for (const { name } of [winsockStream, winsockDatagram])
    t.test(name, { skip: noDouble }, () => {})
}

t.test('the table has every rule once, and says the same as the documentation', async t => {
  const documented = (await readFile(new URL('../../docs/rules.md', import.meta.url), 'utf8'))
    .split('\n')
    .map(line => line.split('|').map(cell => cell.trim()))
    .filter(cells => /^R\d+$/.test(cells[1] ?? ''))
    .map(cells => [cells[1], cells[3]?.match(/[A-Z_]{4,}/)?.[0]])
  const numbered = rules.filter(rule => rule.id !== 'precedence')
  t.strictSame(
    numbered.map(rule => rule.id),
    Array.from({ length: 24 }, (_, i) => `R${i + 1}`),
  )
  t.strictSame(
    documented,
    numbered.map(rule => [rule.id, rule.error]),
  )
})

t.test('no exception names a rule that there is not', async t => {
  const known = new Set(
    rules.flatMap(({ id, cases }) => [id, ...cases.map(each => `${id}: ${each.title}`)]),
  )
  for (const subject of subjects)
    for (const exception of Object.keys(subject.inapplicable)) t.ok(known.has(exception), exception)
})

function reason(given: Rule['inapplicable'], subject: Subject, id: string): string | undefined {
  const { kind, provider, name, inapplicable } = subject
  return inapplicable[id] ?? given?.[name] ?? given?.[provider] ?? given?.[kind]
}

// What the cases have in common.

/** allowInsecure, as R15 wants it written. */
const OPEN = { guaranteeEncryption: false, allowInsecure: true } as const
/** The same, for peers that keep silent. */
const IMPATIENT = { ...OPEN, handshakeTimeout: 300 } as const

/** Credentials of a server, and what it needs to know its peers. */
async function serverWith(
  subject: Subject,
  { cert, key }: { cert: string; key: string },
): Promise<SecuritySettings> {
  const { ca } = await testIdentity()
  if (subject.provider === 'strongswan') return { protocol: 'ipsec', cert, key, ca }
  return subject.kind === 'datagram' ? { cert, key, ca } : { cert, key }
}

/** Where nobody answers, a datagram socket waits for its handshake's time to be over. */
async function impatient(subject: Subject): Promise<{ security: SecuritySettings }> {
  const security = await subject.clientSettings()
  // A peer of IKE says no, which takes a moment.
  if (subject.kind === 'stream' || subject.provider === 'strongswan') return { security }
  return { security: { ...security, handshakeTimeout: 300 } }
}

/** This is the administrator's policy, until the end of the test. */
function underPolicy(t: Test, policy: object): void {
  setPolicyEverywhere(parsePolicy(JSON.stringify(policy), '/policy.json'))
  t.teardown(() => setPolicyEverywhere(null))
}

/** Also where the servers are. */
function setPolicyEverywhere(policy: Parameters<typeof setPolicy>[0]): void {
  setPolicy(policy)
  if (inGuest) setRemotePolicy(policy)
}

/** What leads to the provider. */
function protocolOf(subject: Subject): SecuritySettings {
  return subject.provider === 'strongswan' ? { protocol: 'ipsec' } : {}
}

/** Of a peer that proves another name; the daemon of one that has no such identity says no more than no. */
function mismatch(subject: Subject): RegExp {
  return subject.provider === 'strongswan'
    ? /^ERR_PEER_(TARGET_NAME_MISMATCH|NOT_AUTHENTICATED)$/
    : /^ERR_PEER_TARGET_NAME_MISMATCH$/
}

/** Functions are not sent to a server on another host. */
function inThisProcess(subject: Subject, socket: Endpoint, accepted: Endpoint): boolean {
  return subject.provider !== 'strongswan' || socket !== accepted
}

/** Until the daemons have ended the keys that were made under another name, nothing is secured by them. */
async function securedAgain(socket: SecureDgramSocket, peer: PeerAddress): Promise<SecurityInfo> {
  let info: SecurityInfo | undefined
  await until('the peer is secured again', async () => {
    info = await socket.secure(peer).catch(() => undefined)
    return info !== undefined
  })
  return info as SecurityInfo
}

/** A peer that can be impersonated in this process, and what it has proved. */
async function peerHere(
  t: Test,
  subject: Subject,
): Promise<{ accepted: Endpoint; names: readonly string[] }> {
  const { client, accepted, names } = await mutualConnection(t, subject)
  return subject.provider === 'strongswan'
    ? { accepted: client, names: [subject.derivedName] }
    : { accepted, names }
}

/** What takes a target name or settings as a connection that exists: a datagram server's peer is not the socket. */
function connections(subject: Subject, each: { [name: string]: Endpoint }): Endpoint[] {
  const { accepted, ...others } = each
  return [...Object.values(others), ...(subject.kind === 'stream' && accepted ? [accepted] : [])]
}

interface Connection {
  readonly client: Endpoint
  readonly accepted: Endpoint
  readonly server: ServerEndpoint
  readonly port: number
}

/** A client and what a server has accepted of it. */
async function connection(
  t: Test,
  subject: Subject,
  more: { client?: SecuritySettings; server?: SecuritySettings } = {},
): Promise<Connection> {
  const server = subject.server(t, {
    security: { ...(await subject.serverSettings()), ...more.server },
  })
  const port = await server.listen()
  const client = subject.socket(t, {
    security: { ...(await subject.clientSettings()), ...more.client },
  })
  await client.connect(port)
  return { client, accepted: await server.accepted(), server, port }
}

/** Both ends have proved who they are. */
async function mutualConnection(
  t: Test,
  subject: Subject,
): Promise<Connection & { names: readonly string[] }> {
  const { names, ...settings } = await subject.mutual(t)
  return { ...(await connection(t, subject, settings)), names }
}

function datagramSocket(
  t: Test,
  subject: Subject,
  options?: Partial<SecureDgramSocketOptions>,
): SecureDgramSocket {
  if (!subject.datagramSocket) throw new Error(`${subject.name} has no datagram sockets`)
  return subject.datagramSocket(t, options)
}

function secure(
  subject: Subject,
  socket: SecureDgramSocket,
  peer: PeerAddress,
): Promise<SecurityInfo> {
  if (!subject.secure) throw new Error(`${subject.name} has no datagram peers`)
  return subject.secure(socket, peer)
}

/** What secures the packets in this test. */
function systemOf(subject: Subject): System {
  if (!subject.system) throw new Error(`no system secures the packets of ${subject.name}`)
  return subject.system
}

/** An answer without the certificate's own object, whose inside changes when it is looked at. */
function plain(info: SecurityInfo) {
  return { ...info, peer: { ...info.peer, certificate: info.peer?.certificate?.fingerprint256 } }
}

/** Whom a peer has proved to be: by a certificate, or as an account of the system. */
function provedNames(peer: PeerIdentity | undefined): readonly (string | undefined)[] | undefined {
  return peer?.user ? [peer.user.name] : peer?.names
}

/** Connects, and sends at once. */
function sending(socket: Endpoint, port: number): Promise<void> {
  const connected = socket.connect(port)
  socket.send('a secret')
  return connected
}

/** A server that speaks first. */
async function greetingServer(
  t: Test,
  subject: Subject,
): Promise<{ server: ServerEndpoint; port: number }> {
  const security = await subject.serverSettings()
  const server = subject.server(t, { security, greeting: 'from the server' })
  return { server, port: await server.listen() }
}

/** A server, and how many bytes went its way. */
async function watchedServer(
  t: Test,
  subject: Subject,
): Promise<{ port: number; receives(): number }> {
  const port = await subject.server(t, { security: await subject.serverSettings() }).listen()
  const tap = await subject.tap(t, port)
  return { port: tap.port, receives: () => tap.toServer().length + tap.contacts }
}

/** What the process holds once it is as idle as it was, or else 5 s later. */
async function settled(subject: Subject): Promise<number> {
  const deadline = Date.now() + 5000
  // What has to be done meanwhile may be for another process.
  while (subject.resources() !== idle.get(subject) && Date.now() < deadline) await pause(5)
  return subject.resources()
}
