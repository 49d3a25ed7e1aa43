// nodemailer, and smtp-server: mail as it goes inside a company, without TLS of its own.

import { once } from 'node:events'
import { createTransport } from 'nodemailer'
import { SMTPServer } from 'smtp-server'
import { run, word } from './run.cjs'

run({
  async server() {
    const smtp = new SMTPServer({
      ...{ authOptional: true, hideSTARTTLS: true },
      onData(stream, _session, callback) {
        stream.resume().on('end', () => callback(null, `${word} to you`))
      },
    })
    const server = smtp.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return server.address().port
  },
  async client(port) {
    const transport = createTransport({ host: '127.0.0.1', port })
    const { response } = await transport.sendMail({
      ...{ from: 'shop@example.com', to: 'alice@example.com' },
      ...{ subject: word, text: 'your order' },
    })
    transport.close()
    return response
  },
})
