/** What console.log shows of our sockets: the security at a glance, in any state, and never a secret. */
import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import t from 'tap'
import { SecureDgramSocket, SecureServer, SecureSocket } from '../../src/index.js'
import { createConnection } from '../../src/net.js'
import { closed, event } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { listening, trust } from '../support/secured.js'
import { boundSocket, datagramSocket, identified, sent } from '../support/secured-datagrams.js'

t.test('a stream: where to, what secures it, and who the peer is', async t => {
  const { port, server } = await listening(t, {}, () => {})
  t.equal(inspect(new SecureSocket()), 'SecureSocket <not connected>')
  const accepted = event(server, 'connection') as Promise<[SecureSocket]>
  const socket = createConnection({ port, host: 'localhost', security: await trust() })
  t.equal(inspect(socket), `SecureSocket <connecting to localhost:${port}>`)
  await event(socket, 'connect')
  const secured = 'secured, TLSv1.3 TLS_AES_256_GCM_SHA384'
  t.equal(inspect(socket), `SecureSocket <${secured}, peer localhost, to 127.0.0.1:${port}>`)
  const [theirs] = await accepted
  t.equal(
    inspect({ theirs }),
    `{\n  theirs: SecureSocket <${secured}, peer unknown, from 127.0.0.1:${socket.localPort}>\n}`,
  )
  socket.destroy()
  t.match(inspect(socket), /^SecureSocket <closed, .*>$/)
  await closed(socket)
  t.match(inspect(socket), /^SecureSocket <closed, .*>$/)
  theirs.destroy()
})

t.test('a stream that was not secured says why', async t => {
  const { port } = await listening(t, {})
  const socket = createConnection({
    port,
    host: '127.0.0.1',
    peerTargetName: 'host/other.example',
    security: await trust(),
  })
  await closed(socket)
  t.match(inspect(socket), /^SecureSocket <closed, never secured: ERR_PEER_TARGET_NAME_MISMATCH, /)
})

t.test('a server: where it listens, and whom it lets in', async t => {
  t.equal(inspect(new SecureServer()), 'SecureServer <not listening>')
  const { server, port } = await listening(t, {
    security: { ...(await trust()), requestCert: true },
  })
  t.equal(
    inspect(server),
    `SecureServer <listening on 127.0.0.1:${port}, tls, clients by certificate, 0 connections>`,
  )
  await new Promise(resolve => server.close(resolve))
  t.match(inspect(server), /^SecureServer <closed, tls, /)
  const open = await listening(t, { security: { allowInsecure: true, guaranteeEncryption: false } })
  t.match(inspect(open.server), /, any client, in clear too, /)
})

t.test('a datagram socket: what secures its peer, or how many it has', async t => {
  const identity = await identified()
  const { socket: b, port, heard } = await boundSocket(t, identity)
  const a = datagramSocket(t, { security: identity })
  t.equal(inspect(a), 'SecureDgramSocket <not bound, dtls>')
  await new Promise<void>(resolve => a.connect(port, 'localhost', resolve))
  t.match(inspect(a), new RegExp(`^SecureDgramSocket <not secured now, to 127.0.0.1:${port}, on `))
  await new Promise(resolve => a.send('x', resolve))
  await heard.next()
  t.match(
    inspect(a),
    /^SecureDgramSocket <secured, full handshake, DTLSv1\.2 TLS_\w+, peer localhost, to 127/,
  )
  t.match(
    inspect(b),
    new RegExp(
      `^SecureDgramSocket <bound to 127.0.0.1:${port}, dtls, (batch|portable), 1 peer secured>$`,
    ),
  )
  const [message] = heard.all
  t.match(inspect(message?.rinfo), /peer: PeerIdentity <localhost, 127\.0\.0\.1, ::1, sha256\//)
  await a[Symbol.asyncDispose]()
  t.equal(inspect(a), 'SecureDgramSocket <closed>')
  t.equal(await sent(b, 'y', port), 1, 'it goes on')
})

t.test('what querySecurity() gives is shown in one line, and so is whom it names', async t => {
  const { port } = await listening(t, {}, () => {})
  const socket = createConnection({ port, host: 'localhost', security: await trust() })
  const info = await socket.secured
  t.match(
    inspect(info),
    /^SecurityInfo <full handshake, TLSv1\.3 \w+, peer localhost, until 2\S+Z>$/,
  )
  t.match(inspect(info.peer), /^PeerIdentity <localhost, sha256\/\S{44}>$/)
  socket.destroy()

  const { port: to } = await boundSocket(t)
  const datagrams = datagramSocket(t, { security: await identified() })
  const secured = await datagrams.secure({ address: '127.0.0.1', port: to })
  t.match(
    inspect(secured),
    /^SecurityInfo <full handshake, DTLSv1\.2 \w+, peer 127\.0\.0\.1, until /,
  )

  const psk = { sensor: randomBytes(32) }
  const keyed = await boundSocket(t, { psk })
  const sensor = { identity: 'sensor', key: psk.sensor }
  const known = datagramSocket(t, { security: { psk: sensor } })
  await sent(known, 'x', keyed.port)
  const { rinfo } = await keyed.heard.next()
  t.equal(inspect(rinfo.peer), 'PeerIdentity <sensor>')
})

t.test('looking fails at no moment, and changes nothing', async t => {
  const seen = new Set<string>()
  class Watched extends SecureSocket {
    override emit(event: string | symbol, ...args: unknown[]): boolean {
      seen.add(`${String(event)}: ${inspect(this)}`)
      return super.emit(event as 'connect', ...(args as []))
    }
  }
  const { port } = await listening(t, {}, socket => socket.end('x'))
  for (const peerTargetName of ['host/localhost', 'host/other.example']) {
    const socket = new Watched({ security: await trust(), peerTargetName })
    socket.connect(port, 'localhost').resume()
    await closed(socket)
    socket.connect(port, 'localhost').resume()
    await closed(socket)
  }
  const all = [...seen].join('\n')
  t.match(all, /^lookup: Watched <connecting to localhost:/m)
  t.match(all, /^connect: Watched <secured, /m)
  t.match(all, /^close: Watched <closed, /m)
  t.notMatch(all, /…/)
})

t.test(
  "a class of the application's is shown with its own name and what it has of its own",
  async t => {
    class Client extends SecureSocket {
      id = 7
      options = { deep: { deeper: { deepest: { end: 1 } } } }
    }
    t.equal(
      inspect(new Client()),
      'Client <not connected> { id: 7, options: { deep: { deeper: [Object] } } }',
    )
    t.equal(inspect([[[new Client()]]], { depth: 1 }), '[ [ [Array] ] ]')
    t.match(inspect({ a: { b: new Client() } }, { depth: 0 }), /Object/)
    class Silent extends SecureSocket {
      override [inspect.custom](): string {
        return 'as I say'
      }
    }
    t.equal(inspect(new Silent()), 'as I say')
  },
)

t.test('whoever looks at a class or a prototype gives all its objects no common state', async t => {
  for (const Class of [SecureSocket, SecureServer, SecureDgramSocket]) {
    t.type(inspect(Class), 'string')
    t.type(inspect(Class.prototype), 'string')
    t.type(inspect(Object.create(Class.prototype)), 'string')
  }
  const [one, other] = [new SecureSocket(), new SecureSocket()]
  await one.setSecurity({ ca: [] })
  await t.resolves(other.setSecurity({ ca: [] }), 'the settings of one are not those of the other')
  await new SecureDgramSocket('udp4')[Symbol.asyncDispose]()
  await t.resolves(new SecureDgramSocket('udp4').setSecurity({ ca: [] }))
})

t.test('no key, no password and no pre-shared key, however deep one looks', async t => {
  const { cert, key, ca } = await testIdentity()
  const secret = randomBytes(32)
  const passphrase = 'correct horse battery'
  const psk = { sensor: secret }
  const { server, port } = await listening(
    t,
    { security: { cert, key, psk, passphrase } },
    () => {},
  )
  const client = createConnection({
    port,
    host: '127.0.0.1',
    security: { cert, key, ca, passphrase },
  })
  await event(client, 'connect')
  const datagrams = await boundSocket(t, { psk: [{ identity: 'a', key: secret }, psk] })
  const secrets = [passphrase, secret.toString('hex'), spaced(secret), lines(key)]
  for (const socket of [client, server, datagrams.socket]) {
    for (const options of [{}, { showHidden: true }, { customInspect: false }]) {
      const shown = inspect(socket, {
        depth: 20,
        maxStringLength: null,
        maxArrayLength: null,
        ...options,
      })
      for (const each of secrets) t.notOk(shown.includes(each), `${socket.constructor.name}`)
    }
  }
  client.destroy()
})

/** As a Buffer is shown. */
function spaced(bytes: Buffer): string {
  return bytes.toString('hex').replace(/..(?=.)/g, '$& ')
}

/** A line of it that nothing else has. */
function lines(pem: string): string {
  return pem.split('\n')[1] as string
}
