require('./ipsec-stream-with.cjs')(require('secure-socket/net'))
