// Linux's programs for tests that run under Wine, so that Node for Windows meets peers of other
// makers: Wine can start such a program, but neither talks to it nor ends it.

import { spawn } from 'node:child_process'
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'

/** What can be asked for, where it is installed. */
const programs = [
  'openssl',
  'gnutls-cli',
  'gnutls-serv',
  'coap-client-openssl',
  'coap-server-openssl',
  // It runs another that is given to it.
  'stdbuf',
].filter(program =>
  process.env.PATH.split(delimiter).some(folder => existsSync(join(folder, program))),
)

/**
 * Listens on loopback for tests that want a program. A connection is one program: a line of JSON
 * {token, program, args, cwd} starts it; then come {write: base64}, {end: true} and {kill: signal},
 * and go {heard: text}, {error: text} and {code, signal}. Its end is the program's.
 * @param {string} prefix Wine's, where a path on drive C: lies
 * @returns {Promise<{address: string, close(): void}>} the address, port:token:programs, goes to the
 * tests as the environment variable FOREIGN_PROGRAMS; nobody else on this machine knows the token
 */
export async function startForeignPrograms(prefix) {
  const token = randomBytes(16).toString('hex')
  const server = createServer(connection => serve(connection, token, prefix))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  server.unref()
  return {
    address: [server.address().port, token, programs].join(':'),
    close: () => server.close(),
  }
}

function serve(connection, token, prefix) {
  let child
  connection.on('error', () => {})
  connection.on('close', () => child?.kill('SIGKILL'))
  const tell = message => connection.writable && connection.write(`${JSON.stringify(message)}\n`)
  createInterface({ input: connection }).on('line', line => {
    const message = JSON.parse(line)
    if (child) command(child, message)
    else if (!isToken(message.token, token)) connection.destroy()
    else child = start(message, prefix, tell, () => connection.end())
  })
}

function isToken(given, token) {
  return (
    typeof given === 'string' &&
    given.length === token.length &&
    timingSafeEqual(Buffer.from(given), Buffer.from(token))
  )
}

function start({ program, args, cwd }, prefix, tell, done) {
  if (!programs.includes(program)) {
    tell({ error: `${program} is none of ${programs}` })
    done()
    return { kill() {} }
  }
  const child = spawn(program, args.map(linuxPaths), {
    cwd: cwd === undefined ? undefined : linuxPaths(cwd),
    env: { ...process.env, OPENSSL_CONF: '/dev/null', LC_ALL: 'C' },
  })
  for (const output of [child.stdout, child.stderr])
    output.setEncoding('utf8').on('data', heard => tell({ heard }))
  child.stdin.on('error', () => {})
  child.on('error', error => tell({ error: error.message }))
  child.on('close', (code, signal) => {
    tell({ code, signal })
    done()
  })
  return child

  function linuxPaths(text) {
    return text.replace(/\b([A-Z]):(\\[^:,]*)/g, (_, drive, path) => {
      const root = drive === 'Z' ? '' : `${prefix}/drive_${drive.toLowerCase()}`
      return root + path.replaceAll('\\', '/')
    })
  }
}

function command(child, { write, end, kill }) {
  if (write !== undefined) child.stdin.write(Buffer.from(write, 'base64'))
  if (end) child.stdin.end()
  if (kill) child.kill(kill)
}
