// ssh2: a server, and a client that runs a command. What SSH says in clear is that it is SSH.

const { Client, Server, utils } = require('ssh2')
const { run, word } = require('./run.cjs')

run({
  server: () =>
    new Promise(resolve => {
      // Of Ed25519, one in some hundred that ssh2 makes cannot be read.
      const { private: hostKey } = utils.generateKeyPairSync('ecdsa', { bits: 256 })
      const server = new Server({ hostKeys: [hostKey], ident: word }, client => {
        client.on('error', () => {})
        client.on('authentication', context => context.accept())
        client.on('session', accept =>
          accept().on('exec', (accept, _reject, { command }) => {
            const stream = accept()
            stream.exit(0)
            stream.end(`${command}: done`)
          }),
        )
      })
      server.listen(0, '127.0.0.1', () => resolve(server.address().port))
    }),
  client: port =>
    new Promise((resolve, reject) => {
      const client = new Client()
      client.on('error', reject)
      client.on('ready', () =>
        client.exec(word, (error, stream) => {
          if (error) return reject(error)
          let output = ''
          stream.setEncoding('utf8').on('data', text => {
            output += text
          })
          stream.on('close', () => {
            client.end()
            resolve(output)
          })
        }),
      )
      client.connect({ host: '127.0.0.1', port, username: 'alice', ident: word })
    }),
})
