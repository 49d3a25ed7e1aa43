// Many peers in one process. Each sends a burst, and the next one when it is told to.

const { dist, port, security, burst, peers, channel } = JSON.parse(process.argv[2])
const { createSocket } = await import(`${dist}/dgram.js`)
const message = Buffer.alloc(64, 1)
/** What is lost is not sent again: whoever is not answered goes on after a while. */
const patience = 100

const sockets = Array.from({ length: peers }, () =>
  createSocket({ type: 'udp4', security, channel }),
)
for (const socket of sockets) await socket.secure({ address: '127.0.0.1', port })
for (const socket of sockets) {
  let timer
  const next = () => {
    clearTimeout(timer)
    timer = setTimeout(next, patience)
    for (let i = 0; i < burst; i++) socket.send(message, port, '127.0.0.1')
  }
  socket.on('message', next)
  next()
}
process.send('ready')
process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send({ cpu: user + system })
})
process.on('disconnect', () => process.exit())
