/** What a stranger's JSON has put on Object.prototype is no option of a socket: it secures nothing otherwise. */
import { once } from 'node:events'
import net from 'node:net'
import t, { type Test } from 'tap'
import { connectArguments, readOnce } from '../../src/sockets/connect-arguments.js'
import { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'
import { SecureServer } from '../../src/sockets/secure-server.js'
import { SecureSocket } from '../../src/sockets/secure-socket.js'

/** Would be refused if anybody read it. */
function pollute(t: Test): void {
  for (const name of ['security', 'peerTargetName']) {
    const value = { noSetting: true }
    Object.defineProperty(Object.prototype, name, { value, configurable: true })
    t.teardown(() => Reflect.deleteProperty(Object.prototype, name))
  }
}

t.test('of a stream, a server and a datagram socket', async t => {
  pollute(t)
  for (const options of [undefined, {}, { allowHalfOpen: true }])
    new SecureSocket(options).destroy()
  new SecureServer({})
  new SecureDgramSocket({ type: 'udp4' }).close()
  const silent = net.createServer().listen(0, '127.0.0.1')
  t.teardown(() => silent.close())
  await once(silent, 'listening')
  const { port } = silent.address() as net.AddressInfo
  const socket = new SecureSocket().on('error', () => {})
  socket.connect({ port, host: '127.0.0.1' }).destroy()
  t.pass('nothing was refused')
})

t.test('what a program gives counts as ever: its own, of its class, or by a proxy', async t => {
  pollute(t)
  const refused = { code: 'EINVAL' }
  const security = { noSetting: 1 }
  class Options {
    get security() {
      return security
    }
  }
  const proxy = new Proxy({}, { get: (_, name) => (name === 'security' ? security : undefined) })
  for (const options of [{ security }, new Options(), Object.create({ security }), proxy]) {
    t.throws(() => new SecureSocket(options as never), refused)
    t.throws(() => new SecureServer(options as never), refused)
    t.throws(() => new SecureDgramSocket({ type: 'udp4', security } as never), refused)
  }
})

t.test('a path or a host of everybody is none of connect()', async t => {
  for (const name of ['path', 'host', 'lookup']) {
    Object.defineProperty(Object.prototype, name, { value: '/evil', configurable: true })
    const [options] = connectArguments([{ port: 1 }])
    const read = readOnce(options)
    Reflect.deleteProperty(Object.prototype, name)
    t.notOk(Object.hasOwn(read, name), name)
  }
})
