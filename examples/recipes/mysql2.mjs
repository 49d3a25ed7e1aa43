// mysql2 over secured sockets: it takes a stream at both ends. The server here is mysql2's own; before
// MySQL or MariaDB put a hop (hop.mjs): these begin in clear, and have TLS only in their protocol.

import { once } from 'node:events'
import mysql from 'mysql2'
import mysqlPromises from 'mysql2/promise'
import { createAuthority, createIdentity, currentPeer } from 'secure-socket'
import { createConnection, createServer } from 'secure-socket/net'

const authority = await createAuthority()
const [db, shop, mallory] = await Promise.all([
  createIdentity({ authority, names: ['host/db.example.com'] }),
  createIdentity({ authority, names: ['spiffe://example.com/shop'] }),
  createIdentity({ names: ['spiffe://example.com/shop'] }), // signed by nobody
])

const column = {
  ...{ catalog: 'def', schema: '', table: '', orgTable: '', orgName: '' },
  ...{ characterSet: 33, columnLength: 256, columnType: 253, flags: 0, decimals: 0 },
}
const server = createServer({ security: { ...db, requestCert: true } }, serve)
await once(server.listen(0, '127.0.0.1'), 'listening')

console.log(await user(shop, 'host/db.example.com'))
console.log(await user(shop, 'host/bank.example.com'))
console.log(await user({ ...mallory, ca: authority.cert }, 'host/db.example.com'))
server.close()

async function user(security, peerTargetName) {
  // A function, so that a pool can ask for as many as it needs.
  const stream = () =>
    createConnection({ host: '127.0.0.1', port: server.address().port, peerTargetName, security })
  try {
    const client = await mysqlPromises.createConnection({ user: 'shop', stream })
    const [[row]] = await client.query('SELECT user()')
    await client.end()
    return row.user
  } catch ({ code }) {
    return code
  }
}

/** As much of a server as one query needs: its answer is whoever the certificate says. */
function serve(stream) {
  const { names } = stream.impersonatePeer(currentPeer)
  const client = mysql.createConnection({ isServer: true, stream })
  client.on('error', () => {})
  // mysql2 leaves to its user where a command begins.
  const done = () => {
    client.sequenceId = 0
  }
  client.serverHandshake({
    protocolVersion: 10,
    serverVersion: '8.0.0',
    connectionId: 1,
    statusFlags: 2,
    characterSet: 33,
    capabilityFlags: 0xffffff & ~0x800, // all but TLS inside
    authCallback: (_login, accept) => {
      accept()
      done()
    },
  })
  client.on('query', () => {
    client.sequenceId = 1
    client.writeTextResult([{ user: String(names) }], [{ ...column, name: 'user' }])
    done()
  })
  client.on('quit', () => stream.end())
}
