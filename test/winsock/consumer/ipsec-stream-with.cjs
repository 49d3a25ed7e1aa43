// One greeting over a loopback connection that the system secures, printed with what the query says.
module.exports = function exchange({ createConnection, createServer }) {
  const security = { protocol: 'ipsec' }
  const server = createServer({ security }, socket => socket.end('hello'))
  server.listen(0, '127.0.0.1', async () => {
    const { port } = server.address()
    const peerTargetName = 'host/server.example'
    const socket = createConnection({ port, host: '127.0.0.1', peerTargetName, security })
    const { protocol, encrypted } = await socket.secured
    socket.setEncoding('utf8')
    let received = ''
    for await (const text of socket) received += text
    console.log(`${received} over ${protocol}, encrypted: ${encrypted}`)
    server.close()
  })
}
