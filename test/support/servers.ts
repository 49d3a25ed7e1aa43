/** Servers of other makers, from Debian: each with files of its own, and ended with its test. */
import { chownSync, realpathSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'
import { event } from './events.js'
import { launch, run } from './program.js'

/** PEM texts: who the server is, and the authority whose clients it takes. */
interface ServerIdentity {
  readonly cert: string
  readonly key: string
  readonly ca: string
}

/** A Redis without TLS; the path of its unix socket, which is the only way to it. */
export async function redis(t: Test, program: string): Promise<string> {
  const directory = await ownDirectory(t, 'redis')
  const socket = join(directory, 'socket')
  const args = ['--port', '0', '--unixsocket', socket, '--dir', directory, '--save', '']
  await launch(t, program, args).said(/eady to accept connections/, 30_000)
  return socket
}

/** A Redis with TLS of its own, for clients with a certificate; its port on 127.0.0.1. */
export async function redisWithTls(t: Test, program: string, identity: ServerIdentity) {
  const directory = await ownDirectory(t, 'redis')
  const { cert, key, ca } = await written(directory, identity)
  const port = await freePort()
  const redis = launch(t, program, [
    ...['--port', '0', '--bind', '127.0.0.1', '--dir', directory, '--save', ''],
    ...['--tls-port', String(port), '--tls-auth-clients', 'yes'],
    ...['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', ca],
  ])
  await redis.said(/eady to accept connections/, 30_000)
  return port
}

/** A mosquitto with TLS of its own, for clients with a certificate; its port on 127.0.0.1. */
export async function mosquitto(t: Test, program: string, identity: ServerIdentity) {
  const directory = await ownDirectory(t, 'mosquitto')
  const { cert, key, ca } = await written(directory, identity)
  const port = await freePort()
  const file = join(directory, 'mosquitto.conf')
  const settings = [
    `listener ${port} 127.0.0.1`,
    `cafile ${ca}\ncertfile ${cert}\nkeyfile ${key}`,
    'require_certificate true',
    'allow_anonymous true',
    'user root', // else it would give up the right to read its files; no matter to another user
    'log_dest stderr\n',
  ]
  await writeFile(file, settings.join('\n'))
  await launch(t, program, ['-c', file]).said(/running/, 30_000)
  return port
}

/** A PostgreSQL without TLS and passwords; the path of its unix socket, which nobody else can open. */
export async function postgresql(t: Test, program: string): Promise<string> {
  const directory = await ownDirectory(t, 'pg')
  const data = join(directory, 'data')
  // A link to postgres alone, somewhere in PATH, has no initdb beside it.
  const folder = dirname(realpathSync(program))
  // It refuses to run as root.
  const asUser = process.getuid?.() === 0 ? await userPostgres(directory) : []
  const start = (name: string, ...args: string[]): [string, string[]] => {
    const [path, ...rest] = [...asUser, join(folder, name), ...args]
    return [path as string, rest]
  }
  const local = ['--no-locale', '--encoding', 'UTF8', '--no-sync', '--auth', 'trust']
  const initdb = launch(t, ...start('initdb', '-D', data, '-U', 'postgres', ...local), {
    cwd: directory,
  })
  const { code } = await initdb.ended(60_000)
  if (code !== 0) throw new Error(initdb.output)
  const server = start('postgres', '-D', data, '-k', directory, '-c', 'listen_addresses=')
  await launch(t, ...server, { cwd: directory }).said(/ready to accept connections/, 30_000)
  return join(directory, '.s.PGSQL.5432')
}

/** What to put before a command, so that it runs as the user that Debian's package makes. */
async function userPostgres(directory: string): Promise<string[]> {
  const id = async (what: string) => Number(await run('id', [what, 'postgres']))
  chownSync(directory, await id('-u'), await id('-g'))
  return ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups', '--']
}

async function written(directory: string, identity: ServerIdentity) {
  const { cert, key, ca } = identity
  const files = { cert, key, ca }
  for (const [name, pem] of Object.entries(files)) {
    const file = join(directory, `${name}.pem`)
    await writeFile(file, pem, { mode: 0o600 })
    files[name as keyof typeof files] = file
  }
  return files
}

/** Short, since the path of a unix socket must be. */
async function ownDirectory(t: Test, name: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `${name}-`))
  t.teardown(() => rm(directory, { recursive: true }))
  return directory
}

/** These servers cannot choose one themselves. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await event(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}
