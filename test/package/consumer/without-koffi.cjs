// What a secured datagram socket says where the optional dependency koffi was left out.
const { createSocket } = require('secure-socket/dgram')

const socket = createSocket({
  type: 'udp4',
  security: { psk: { identity: 'me', key: Buffer.alloc(16) } },
})
socket.send('hello', 9, '127.0.0.1', error => {
  console.log(`${error.code} ${/npm install koffi/.test(error.message)}`)
  socket.close()
})
