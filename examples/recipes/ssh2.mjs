// SSH over secured sockets, with ssh2 at both ends: a client takes a socket, a server one that has been
// accepted. SSH has its own keys and checks them inside; outside, nobody without a certificate reaches the
// server at all, not even to see that it is one.

import { once } from 'node:events'
import { createAuthority, createIdentity } from 'secure-socket'
import { createServer } from 'secure-socket/net'
import { connect } from 'secure-socket/promises'
import ssh2 from 'ssh2'

const { Client, Server, utils } = ssh2
// Of Ed25519, one in some hundred that ssh2 makes cannot be read.
const host = utils.generateKeyPairSync('ecdsa', { bits: 256 })
const user = utils.generateKeyPairSync('ecdsa', { bits: 256 })
const hostKey = utils.parseKey(host.public).getPublicSSH()
const userKey = utils.parseKey(user.public)

const authority = await createAuthority()
const [bastion, alice, mallory] = await Promise.all([
  createIdentity({ authority, names: ['host/bastion.example.com'] }),
  createIdentity({ authority, names: ['spiffe://example.com/alice'] }),
  createIdentity({ names: ['spiffe://example.com/alice'] }), // signed by nobody
])

const ssh = new Server({ hostKeys: [host.private] }, client => {
  client.on('error', () => {})
  client.on('authentication', context => (isAlice(context) ? context.accept() : context.reject()))
  client.on('session', accept =>
    accept().on('exec', (accept, _reject, { command }) => {
      const stream = accept()
      stream.exit(0)
      stream.end(`${command}: done`)
    }),
  )
})
const server = createServer({ security: { ...bastion, requestCert: true } }, socket =>
  ssh.injectSocket(socket),
)
await once(server.listen(0, '127.0.0.1'), 'listening')

console.log(await exec('backup', alice, 'host/bastion.example.com'))
console.log(await exec('backup', alice, 'host/bank.example.com'))
console.log(await exec('backup', { ...mallory, ca: authority.cert }, 'host/bastion.example.com'))
server.close()

async function exec(command, security, peerTargetName) {
  const client = new Client()
  try {
    const { port } = server.address()
    const sock = await connect({ host: '127.0.0.1', port, peerTargetName, security })
    const hostVerifier = key => key.equals(hostKey)
    client.connect({ sock, username: 'alice', privateKey: user.private, hostVerifier })
    await once(client, 'ready')
    const stream = await new Promise((resolve, reject) =>
      client.exec(command, (error, stream) => (error ? reject(error) : resolve(stream))),
    )
    let output = ''
    for await (const text of stream.setEncoding('utf8')) output += text
    return output
  } catch ({ code }) {
    return code
  } finally {
    client.end()
  }
}

/** Has this client the user's key, and not only its name? */
function isAlice({ username, method, key, blob, signature, hashAlgo }) {
  if (username !== 'alice' || method !== 'publickey') return false
  if (!key.data.equals(userKey.getPublicSSH())) return false
  // Without a signature it only asks whether that key would do.
  return !signature || userKey.verify(blob, signature, hashAlgo) === true
}
