/** Programs of test/winsock/programs, each in a process of its own: what they say, and how they end. */
import { spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { event } from '../support/events.js'

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** All that it has said, errors too. */
  readonly output: string
}

/** Runs a program to its end; one that does not end within the time is killed, and the test fails. */
export async function runProgram(
  t: Test,
  name: string,
  args: readonly string[] = [],
  { env = {}, milliseconds = 30_000 }: { env?: NodeJS.ProcessEnv; milliseconds?: number } = {},
): Promise<Ended> {
  // A file: Node for Windows ends under Wine where its output is a pipe.
  const folder = mkdtempSync(join(tmpdir(), 'winsock-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'output')
  const output = openSync(path, 'w')
  const program = fileURLToPath(new URL(`programs/${name}.js`, import.meta.url))
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', output, output],
    env: { ...process.env, ...env },
  })
  closeSync(output)
  t.teardown(() => child.kill())
  const [code, signal] = await event(child, 'close', milliseconds)
  return {
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
    output: readFileSync(path, 'utf8'),
  }
}
