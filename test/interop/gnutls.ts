/** The commands of GnuTLS as the foreign end. */
import net, { type AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { event } from '../support/events.js'
import { launch, type Program } from '../support/program.js'

/** `gnutls-cli` against a port of 127.0.0.1. What is typed is sent, by lines. */
export function gnutlsCli(t: Test, port: number, ...args: string[]): Program {
  return launch(t, 'gnutls-cli', ['--port', String(port), ...args, '127.0.0.1'])
}

export interface GnutlsServ {
  readonly port: number
  readonly program: Program
}

/**
 * `gnutls-serv`, echoing what it gets. It knows no address to bind to, so it listens on all of
 * them; it is met on 127.0.0.1 only.
 */
export async function gnutlsServ(t: Test, ...args: string[]): Promise<GnutlsServ> {
  // It does not tell which port it has chosen. Another may take ours before it does.
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort()
    const command = ['gnutls-serv', '--echo', '--port', String(port), ...args]
    // It keeps back what it says while nobody looks at a terminal.
    const program = launch(t, 'stdbuf', ['--output=L', ...command])
    const [line] = await program.said(/IPv4 0\.0\.0\.0 port \d+\.\.\.(done|bind.*)/)
    if (line.endsWith('done')) return { port, program }
    if (attempt === 5) throw new Error(program.output)
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await event(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await event(server, 'close')
  return port
}
