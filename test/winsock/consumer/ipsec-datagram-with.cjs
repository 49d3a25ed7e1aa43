// One greeting in a datagram that the system secures, printed with what the query says of its sender.
module.exports = function exchange({ createSocket }) {
  const security = { protocol: 'ipsec' }
  const server = createSocket({ type: 'udp4', security })
  server.on('message', async (message, rinfo) => {
    const { protocol, encrypted } = await server.querySecurity(rinfo)
    console.log(`${message} over ${protocol}, encrypted: ${encrypted}`)
    server.close()
  })
  server.bind(0, '127.0.0.1', async () => {
    const client = createSocket({ type: 'udp4', security })
    const { port } = server.address()
    await client.setPeerTargetName({
      address: '127.0.0.1',
      port,
      targetName: 'host/server.example',
    })
    client.send('hello', port, '127.0.0.1', error => {
      if (error) throw error
      client.close()
    })
  })
}
