const { createAuthority, createIdentity } = require('secure-socket')
const { createConnection, createServer } = require('secure-socket/net')

require('./exchange-with.cjs')({ createAuthority, createIdentity, createConnection, createServer })
