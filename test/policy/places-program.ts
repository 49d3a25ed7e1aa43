/** Tells which policy counts for this process, what it asked the system for that, and how sockets fare by it. */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const asked: string[] = []
for (const name of ['lstatSync', 'statSync', 'openSync', 'accessSync', 'readFileSync'] as const) {
  const original = fs[name] as (...args: unknown[]) => unknown
  Object.assign(fs, {
    [name](...args: unknown[]) {
      // Modules are read so, too.
      if (String(args[0]).startsWith('/etc/')) asked.push(`${name} ${args[0]}`)
      return original.apply(fs, args)
    },
  })
}
syncBuiltinESMExports()

const warnings: string[] = []
process.on('warning', ({ message }) => warnings.push(message))
const { checkPolicy } = await import('../../src/policy.js')
const { SecureSocket } = await import('../../src/sockets/secure-socket.js')
const { SecureDgramSocket } = await import('../../src/sockets/secure-dgram-socket.js')

/** What becomes of a setting that each of the tests' policies has: refused, unless there is no policy. */
const outcome = async () => {
  const socket = new SecureSocket()
  try {
    await socket.setSecurity({ handshakeTimeout: 1 })
    return 'no policy'
  } catch (error) {
    return codeOf(error)
  }
}
const outcomes = [await outcome(), await outcome()]
const datagrams = new SecureDgramSocket({ type: 'udp4' })
const sent = outcomes.includes('ERR_POLICY_INVALID')
  ? await new Promise(resolve =>
      datagrams.send('x', 9, '127.0.0.1', error => resolve(codeOf(error))),
    )
  : undefined
datagrams.close()
// What it costs is seen before this, which looks at everything again.
const calls = [...asked]
const { file, problems } = checkPolicy()
setImmediate(() => console.log(JSON.stringify({ outcomes, sent, calls, file, problems, warnings })))

function codeOf(error: unknown): string {
  return (error as { code?: string } | null)?.code ?? 'sent'
}
