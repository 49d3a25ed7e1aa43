// Compares what import and require give for every face.
import dgram from 'node:dgram'
import { createRequire } from 'node:module'
import net from 'node:net'

const require = createRequire(import.meta.url)
const different = []
const missing = []

const faces = [
  'secure-socket',
  'secure-socket/net',
  'secure-socket/dgram',
  'secure-socket/promises',
  'secure-socket/policy',
]
for (const face of faces) {
  const imported = await import(face)
  const required = require(face)
  for (const [name, value] of Object.entries(required)) {
    if (!(name in imported)) missing.push(`${face} ${name}`)
    else if (imported[name] !== value) different.push(`${face} ${name}`)
  }
}

// A drop-in has everything that the module has in whose place it drops.
for (const [name, original] of Object.entries({ net, dgram })) {
  const { default: ours, ...named } = await import(`secure-socket/${name}`)
  const required = require(`secure-socket/${name}`)
  for (const key of Object.keys(original)) {
    if (!(key in named)) missing.push(`named ${name}.${key}`)
    if (!(key in ours)) missing.push(`default ${name}.${key}`)
    if (!(key in required)) missing.push(`required ${name}.${key}`)
  }
}

const root = require('secure-socket')
const { SecureSocket } = await import('secure-socket/net')
const { SecureDgramSocket } = await import('secure-socket/dgram')
const classes = [
  root.SecureSocket,
  root.SecureServer,
  root.SecureDgramSocket,
  root.SocketSecurityError,
]

console.log(
  JSON.stringify({
    different,
    missing,
    socket: root.SecureSocket === SecureSocket,
    datagrams: root.SecureDgramSocket === SecureDgramSocket,
    names: classes.map(each => each.name).join(' '),
  }),
)
