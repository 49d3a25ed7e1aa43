// Compares what import and require give for every face.
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const different = []
const missing = []

for (const face of ['secure-socket', 'secure-socket/net', 'secure-socket/promises']) {
  const imported = await import(face)
  const required = require(face)
  for (const [name, value] of Object.entries(required)) {
    if (!(name in imported)) missing.push(`${face} ${name}`)
    else if (imported[name] !== value) different.push(`${face} ${name}`)
  }
}

const root = require('secure-socket')
const { SecureSocket } = await import('secure-socket/net')
const classes = [root.SecureSocket, root.SecureServer, root.SocketSecurityError]

console.log(
  JSON.stringify({
    different,
    missing,
    socket: root.SecureSocket === SecureSocket,
    names: classes.map(each => each.name).join(' '),
  }),
)
