const { createAuthority, createIdentity } = require('secure-socket')
const { createSocket } = require('secure-socket/dgram')

require('./datagram-with.cjs')({ createAuthority, createIdentity, createSocket })
