// SNMP over secured datagrams: net-snmp makes its sockets by a module that it can be given. Agent and
// manager know each other by certificate, so version 2c with its clear "community" will do inside.

import { createSocket as createPlainSocket } from 'node:dgram'
import { once } from 'node:events'
import snmp from 'net-snmp'
import { createAuthority, createIdentity } from 'secure-socket'
import { createSocket } from 'secure-socket/dgram'

const name = '1.3.6.1.2.1.1.5'
const address = '127.0.0.1'
const port = await freePort()

const authority = await createAuthority()
const [router, manager, mallory] = await Promise.all([
  createIdentity({ authority, names: ['host/router.example.com'] }),
  createIdentity({ authority, names: ['spiffe://example.com/manager'] }),
  createIdentity({ names: ['spiffe://example.com/manager'] }), // signed by nobody
])

/** What net-snmp takes for node:dgram. */
function secured(security, targetName) {
  return {
    createSocket(type) {
      const socket = createSocket({ type, security })
      if (targetName) socket.setPeerTargetName({ address, port, targetName })
      return socket
    },
  }
}

const options = { address, port, disableAuthorization: true, dgramModule: secured(router) }
const agent = snmp.createAgent(options, error => {
  if (error) console.error(error.message)
})
agent.registerProvider({
  name: 'sysName',
  type: snmp.MibProviderType.Scalar,
  oid: name,
  scalarType: snmp.ObjectType.OctetString,
  maxAccess: snmp.MaxAccess['read-only'],
})
agent.getMib().setScalarValue('sysName', 'the router of example.com')

console.log(await ask(secured(manager, 'host/router.example.com')))
console.log(await ask(secured(manager, 'host/switch.example.com')))
console.log(await ask(secured({ ...mallory, ca: authority.cert }, 'host/router.example.com')))
agent.close()

function ask(dgramModule) {
  const session = snmp.createSession(address, 'public', {
    port,
    version: snmp.Version2c,
    dgramModule,
  })
  return new Promise(resolve => {
    session.get([`${name}.0`], (error, [variable] = []) => {
      session.close()
      resolve(error ? error.code : String(variable.value))
    })
  })
}

/** To net-snmp, port 0 means its own default. */
async function freePort() {
  const socket = createPlainSocket('udp4').bind(0, address)
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  return port
}
