// Compares what import and require give for every face.
import { createRequire } from 'node:module'
import net from 'node:net'

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

// A drop-in has everything that the module has in whose place it drops.
const { default: secureNet, ...named } = await import('secure-socket/net')
for (const name of Object.keys(net)) {
  if (!(name in named)) missing.push(`named net.${name}`)
  if (!(name in secureNet)) missing.push(`default net.${name}`)
  if (!(name in require('secure-socket/net'))) missing.push(`required net.${name}`)
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
