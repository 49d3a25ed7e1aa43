// net-snmp: an agent, and a session of version 2c.

const dgram = require('node:dgram')
const snmp = require('net-snmp')
const { run, word } = require('./run.cjs')

const address = '127.0.0.1'
const oid = '1.3.6.1.2.1.1.5'

run({
  async server() {
    const port = await freePort()
    const agent = snmp.createAgent({ address, port, disableAuthorization: true }, error => {
      if (error) console.error(error)
    })
    const { Scalar } = snmp.MibProviderType
    const { OctetString } = snmp.ObjectType
    agent.registerProvider({
      ...{ name: 'sysName', type: Scalar, oid, scalarType: OctetString },
      maxAccess: snmp.MaxAccess['read-only'],
    })
    agent.getMib().setScalarValue('sysName', word)
    return port
  },
  client: port =>
    new Promise((resolve, reject) => {
      const session = snmp.createSession(address, word, { port, version: snmp.Version2c })
      session.get([`${oid}.0`], (error, variables) => {
        session.close()
        if (error) reject(error)
        else resolve(variables[0].value)
      })
    }),
})

/** To net-snmp, port 0 means its own default. */
function freePort() {
  const socket = dgram.createSocket('udp4')
  return new Promise(resolve =>
    socket.bind(0, address, () => {
      const { port } = socket.address()
      socket.close(() => resolve(port))
    }),
  )
}
