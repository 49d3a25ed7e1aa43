// Mail over secured sockets, with nodemailer as the client and smtp-server as the server. Nodemailer asks
// a function for its connections; smtp-server takes what has been secured before it.

import { once } from 'node:events'
import { createTransport } from 'nodemailer'
import { createAuthority, createIdentity } from 'secure-socket'
import { createServer } from 'secure-socket/net'
import { connect } from 'secure-socket/promises'
import { SMTPServer } from 'smtp-server'

const authority = await createAuthority()
const [mail, shop, mallory] = await Promise.all([
  createIdentity({ authority, names: ['host/mail.example.com'] }),
  createIdentity({ authority, names: ['spiffe://example.com/shop'] }),
  createIdentity({ names: ['spiffe://example.com/shop'] }), // signed by nobody
])

// `secured` says that TLS is there already, so that it offers none inside.
const smtp = new SMTPServer({
  ...{ secure: true, secured: true, authOptional: true },
  onData(stream, session, callback) {
    let text = ''
    stream.setEncoding('utf8').on('data', chunk => {
      text += chunk
    })
    stream.on('end', () => {
      const subject = /^Subject: .*$/m.exec(text)
      console.log(`${subject}, from ${session.envelope.mailFrom.address}`)
      callback()
    })
  },
})
const server = createServer({ security: { ...mail, requestCert: true } }, socket =>
  smtp.server.emit('connection', socket),
)
await once(server.listen(0, '127.0.0.1'), 'listening')

console.log(await send(shop, 'host/mail.example.com'))
console.log(await send(shop, 'host/bank.example.com'))
console.log(await send({ ...mallory, ca: authority.cert }, 'host/mail.example.com'))
server.close()

async function send(security, peerTargetName) {
  const transport = createTransport({
    ...{ host: '127.0.0.1', port: server.address().port, secure: true },
    getSocket({ host, port }, callback) {
      connect({ host, port, peerTargetName, security }).then(
        connection => callback(null, { connection, secured: true }),
        callback,
      )
    },
  })
  try {
    const { response } = await transport.sendMail({
      from: 'shop@example.com',
      to: 'alice@example.com',
      subject: 'your order',
      text: 'is on its way',
    })
    return response
  } catch ({ code }) {
    return code
  }
}
