// What a secured datagram socket says where native code cannot be called: its code, and whether the remedy is named.
const { createSocket } = require('secure-socket/dgram')

const security = { psk: { identity: 'me', key: Buffer.alloc(16) } }
const socket = createSocket({ type: 'udp4', security })
socket.send('hello', 9, '127.0.0.1', error => {
  console.log(`${error.code} ${error.message.includes(process.argv[2])}`)
  socket.close()
})
