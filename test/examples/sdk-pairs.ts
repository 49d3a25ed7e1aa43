/** The pairs of examples, stcp and sudp: their identities made as their help says, and how to run them. */
import { execFile } from 'node:child_process'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { launch, type Program } from '../support/program.js'
import { root } from '../support/project-root.js'

const interfaces = Object.values(networkInterfaces())
export const hasV6 = interfaces.some(each => each?.some(a => a.address === '::1'))

export interface Pair {
  /** Types what the help of the server says, in `directory`. */
  makeIdentities(directory: string): Promise<void>
  /** Starts a server on loopback that lives no longer than the test. */
  startServer(t: Test, ...args: string[]): Promise<{ program: Program; port: string }>
  /** Runs a client to its end. */
  runClient(
    t: Test,
    port: string,
    ...args: string[]
  ): Promise<{ code: number | null; output: string }>
  run(t: Test, role: Role, ...args: string[]): Promise<{ code: number | null; output: string }>
}

type Role = 'client' | 'server'

/** @param identities where both find who they are, unless told otherwise */
export function examplePair(name: 'stcp' | 'sudp', identities: string): Pair {
  const script = (role: Role) => join(root, 'examples', `${name}${role}.mjs`)

  async function makeIdentities(directory: string): Promise<void> {
    const { stdout } = await promisify(execFile)(process.execPath, [script('server'), '--help'])
    const commands = stdout.replaceAll('\\\n', ' ').matchAll(/npx secure-socket (identity .*)/g)
    let count = 0
    for (const [, words = ''] of commands) {
      const args = [join(root, 'dist/cli.cjs'), ...words.trim().split(/ +/)]
      await promisify(execFile)(process.execPath, args, { cwd: directory })
      count += 1
    }
    if (count !== 3) throw new Error(`the help has ${count} commands: ${stdout}`)
  }

  async function startServer(t: Test, ...args: string[]) {
    const loopback = args.some(each => /v6/.test(each)) ? '::1' : '127.0.0.1'
    const defaults = ['--identity', identities, '--address', loopback, '--port', '0']
    const program = launch(t, process.execPath, [script('server'), ...defaults, ...args])
    const [, port] = await program.said(/(?:Listening on|Bound to) .* port (\d+)\n/)
    return { program, port: String(port) }
  }

  function runClient(t: Test, port: string, ...args: string[]) {
    return run(t, 'client', '--identity', identities, '--port', port, ...args)
  }

  async function run(t: Test, role: Role, ...args: string[]) {
    const program = launch(t, process.execPath, [script(role), ...args])
    const { code } = await program.ended(30_000)
    return { code, output: program.output }
  }

  return { makeIdentities, startServer, runClient, run }
}

/** All of it, in this order, whatever stands between. */
export function inOrder(...parts: (string | RegExp)[]): RegExp {
  const escaped = parts.map(part =>
    typeof part === 'string' ? part.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&') : part.source,
  )
  return new RegExp(escaped.join('[^]*'))
}
