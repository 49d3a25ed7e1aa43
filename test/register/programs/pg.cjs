// pg. The server is PostgreSQL itself, behind hop.mjs.

const { Pool } = require('pg')
const { run, word } = require('./run.cjs')

run({
  async client(port) {
    const user = 'postgres'
    const pool = new Pool({ host: '127.0.0.1', port, user, database: user })
    const { rows } = await pool.query('select $1 as bird', [word])
    await pool.end()
    return rows[0].bird
  },
})
