// mysql2: a pool of clients, and the server that it has.

const mysql = require('mysql2')
const { run, word } = require('./run.cjs')

const column = {
  ...{ catalog: 'def', schema: '', table: '', orgTable: '', name: 'answer', orgName: '' },
  ...{ characterSet: 33, columnLength: 256, columnType: 253, flags: 0, decimals: 0 },
}

run({
  server: () =>
    new Promise(resolve => {
      const server = mysql.createServer()
      server.on('connection', answer)
      server.listen(0, '127.0.0.1', () => resolve(server._server.address().port))
    }),
  async client(port) {
    const pool = mysql.createPool({ host: '127.0.0.1', port, user: word }).promise()
    const answers = await Promise.all(['one', 'two'].map(each => pool.query(`SELECT '${each}'`)))
    await pool.end()
    return answers.map(([[row]]) => row.answer).join(' and ')
  },
})

function answer(client) {
  client.on('error', () => {})
  const next = () => {
    client.sequenceId = 0
  }
  client.serverHandshake({
    ...{ protocolVersion: 10, serverVersion: '8.0.0', connectionId: 1, statusFlags: 2 },
    ...{ characterSet: 33, capabilityFlags: 0xffffff & ~0x800 },
    authCallback(_login, accept) {
      accept()
      next()
    },
  })
  client.on('query', query => {
    client.sequenceId = 1
    client.writeTextResult([{ answer: `${word} to ${query}` }], [column])
    next()
  })
}
