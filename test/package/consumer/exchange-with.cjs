// One greeting over a secured loopback connection, printed with the TLS version that carried it.
module.exports = async function exchange(library) {
  const { createAuthority, createIdentity, createConnection, createServer } = library
  const authority = await createAuthority()
  const { cert, key } = await createIdentity({ authority, names: ['localhost'] })

  const server = createServer({ security: { cert, key } }, socket => socket.end('hello'))
  server.listen(0, '127.0.0.1', async () => {
    const { port } = server.address()
    const security = { ca: authority.cert }
    const socket = createConnection({
      port,
      host: '127.0.0.1',
      peerTargetName: 'localhost',
      security,
    })
    const { version } = await socket.secured
    socket.setEncoding('utf8')
    let received = ''
    for await (const text of socket) received += text
    console.log(`${received} over ${version}`)
    server.close()
  })
}
