/** The openssl command as the foreign end. */
import type { Test } from 'tap'
import { launch, type Program } from '../support/program.js'

/** `openssl s_client` against a port of 127.0.0.1. It takes whole lines as commands: R, K and others. */
export function sClientWithCommands(t: Test, port: number, ...args: string[]): Program {
  return launch(t, 'openssl', ['s_client', '-connect', `127.0.0.1:${port}`, ...args])
}

/** `openssl s_client` against a port of 127.0.0.1. Everything that is typed is sent. */
export function sClient(t: Test, port: number, ...args: string[]): Program {
  return sClientWithCommands(t, port, '-nocommands', ...args)
}

export interface SServer {
  readonly port: number
  readonly program: Program
}

/** `openssl s_server` on a port of 127.0.0.1 that it chooses itself. */
export function sServer(t: Test, ...args: string[]): Promise<SServer> {
  return sServerAt(t, 0, ...args)
}

/** `openssl s_server` on a given port of 127.0.0.1. */
export async function sServerAt(t: Test, port: number, ...args: string[]): Promise<SServer> {
  const address = `127.0.0.1:${port}`
  const program = launch(t, 'openssl', ['s_server', '-accept', address, ...args])
  // It names the port where it has chosen it.
  const [, chosen] = await program.said(port === 0 ? /ACCEPT 127\.0\.0\.1:(\d+)/ : /ACCEPT/)
  return { port: Number(chosen ?? port), program }
}
