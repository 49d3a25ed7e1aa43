/** net-snmp, unmodified: it makes its sockets by the module that it is given, agent and manager alike. */
import dgram from 'node:dgram'
import snmp from 'net-snmp'
import t, { type Test } from 'tap'
import { createSocket, type Socket } from '../../src/dgram.js'
import type { DatagramSecuritySettings } from '../../src/model/settings.js'
import { event } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { trust } from '../support/secured.js'
import { identified, LOOPBACK } from './dtls-sockets.js'

const { ca } = await trust()
const { cert, key } = await testIdentity()
const manager = await identified(['client.example'])
const description = '1.3.6.1.2.1.1.1.0'

t.test('a manager asks an agent, and sets a value', async t => {
  const agent = await agentOf(t, { cert, key, ca })
  const session = managerOf(t, agent.port, manager)
  t.same(await got(session), 'a secured device')

  await new Promise<void>((resolve, reject) => {
    const change = { oid: description, type: snmp.ObjectType.OctetString, value: 'another' }
    session.set([change], error => (error ? reject(error) : resolve()))
  })
  t.same(await got(session), 'another')
  t.match(agent.names, [['client.example']], 'the agent knows who asked')
})

t.test('a manager that the agent does not trust gets no answer', async t => {
  const agent = await agentOf(t, { cert, key, ca })
  const session = managerOf(t, agent.port, { ca, handshakeTimeout: 3000 })
  await t.rejects(got(session), { code: /^ERR_SSL_/ })
  t.same(agent.names, [])
})

t.test('an agent that proves another name is not asked', async t => {
  const other = await testIdentity(['db.example.com'])
  const agent = await agentOf(t, { cert: other.cert, key: other.key, ca })
  const session = managerOf(t, agent.port, manager)
  await t.rejects(got(session), { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
  t.same(agent.names, [])
})

/** What the library takes for node:dgram. */
function secured(security: DatagramSecuritySettings, made: (socket: Socket) => void = () => {}) {
  return {
    ...dgram,
    createSocket(type: dgram.SocketType) {
      const socket = createSocket({ type, security })
      made(socket)
      return socket
    },
  }
}

async function agentOf(t: Test, security: DatagramSecuritySettings) {
  const names: unknown[] = []
  const port = await freePort()
  const sockets: Socket[] = []
  const dgramModule = secured(security, socket => {
    sockets.push(socket)
    socket.on('secure', (_peer, info) => names.push(info.peer?.names))
  })
  const options = { port, address: LOOPBACK, dgramModule }
  const agent = snmp.createAgent(options, (error: Error | null) => {
    if (error) t.fail(error.message)
  })
  t.teardown(() => new Promise<void>(resolve => agent.close(() => resolve())))
  agent.getAuthorizer().addCommunity('public')
  agent.registerProvider({
    name: 'sysDescr',
    type: snmp.MibProviderType.Scalar,
    oid: '1.3.6.1.2.1.1.1',
    scalarType: snmp.ObjectType.OctetString,
    maxAccess: snmp.MaxAccess['read-write'],
  })
  agent.getMib().setScalarValue('sysDescr', 'a secured device')
  await event(sockets[0] as Socket, 'listening')
  return { port, names }
}

function managerOf(t: Test, port: number, security: DatagramSecuritySettings): snmp.Session {
  const options = { port, dgramModule: secured(security) }
  const session = snmp.createSession(LOOPBACK, 'public', options as snmp.SessionOptions)
  t.teardown(() => session.close())
  return session
}

function got(session: snmp.Session): Promise<string> {
  return new Promise((resolve, reject) => {
    session.get([description], (error, varbinds) => {
      if (error) reject(error)
      else resolve(String(varbinds?.[0]?.value))
    })
  })
}

/** It takes port 0 for its own default. */
async function freePort(): Promise<number> {
  const socket = dgram.createSocket('udp4').bind(0, LOOPBACK)
  await event(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  await event(socket, 'close')
  return port
}
