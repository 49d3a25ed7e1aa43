// One greeting in a secured datagram on loopback, printed with the DTLS version that carried it.
module.exports = async function exchange(library) {
  const { createAuthority, createIdentity, createSocket } = library
  const authority = await createAuthority()
  const { cert, key } = await createIdentity({ authority, names: ['127.0.0.1'] })
  const security = { cert, key, ca: authority.cert }

  const server = createSocket({ type: 'udp4', security })
  server.on('message', (message, rinfo) => {
    server.querySecurity(rinfo).then(({ version }) => {
      console.log(`${message} over ${version}`)
      server.close()
    })
  })
  server.bind(0, '127.0.0.1', () => {
    const client = createSocket({ type: 'udp4', security })
    client.send('hello', server.address().port, '127.0.0.1', error => {
      if (error) throw error
      client.close()
    })
  })
}
