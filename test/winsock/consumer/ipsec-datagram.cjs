require('./ipsec-datagram-with.cjs')(require('secure-socket/dgram'))
