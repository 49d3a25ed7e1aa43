/** Ends in processes of their own, to be killed without a word, or stopped and gone on with. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import type { DatagramSecuritySettings, SecuritySettings } from '../../../src/model/settings.js'
import { datagramSocket, type Inbox, inbox, LOOPBACK } from '../../support/secured-datagrams.js'
import { until } from '../../support/until.js'

export interface End {
  readonly pid: number
  /** Of a server. */
  readonly port: number
  /** What it has told, a line each. */
  readonly lines: readonly string[]
  /** The messages that it has heard. */
  heard(): string[]
  /** As a loss of power. */
  kill(): Promise<void>
  /** SIGSTOP: it sleeps, and does not know it. */
  stop(): void
  /** SIGCONT */
  goOn(): void
}

/** @param port of a server: where it listens, or 0; of a client: whom it speaks to */
export async function startEnd(
  t: Test,
  program: string,
  role: 'client' | 'server',
  port: number,
  security: DatagramSecuritySettings | SecuritySettings,
): Promise<End> {
  const work = JSON.stringify({ role, port, security })
  const child = spawn(process.execPath, [program, work], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines: string[] = []
  createInterface({ input: child.stdout }).on('line', line => lines.push(line))
  const exited = once(child, 'exit')
  const kill = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exited
  }
  t.teardown(kill)
  const listening = () => lines.find(line => line.startsWith('listening '))?.split(' ')[1]
  if (role === 'server')
    await until('it listens', () => listening() !== undefined || child.exitCode !== null, 60_000)
  return {
    pid: child.pid as number,
    port: Number(listening() ?? 0),
    lines,
    heard: () => lines.filter(line => line.startsWith('heard ')).map(line => line.slice(6)),
    kill,
    stop: () => void child.kill('SIGSTOP'),
    goOn: () => void child.kill('SIGCONT'),
  }
}

/** A client in this process, which says a word five times a second until it stops. */
export function talker(
  t: Test,
  port: number,
  security: DatagramSecuritySettings,
): { heard: Inbox; words: readonly string[]; stop(): void } {
  const client = datagramSocket(t, { security })
  const heard = inbox(client)
  const words: string[] = []
  const talk = setInterval(() => {
    const word = `word ${words.length}\n`
    words.push(word)
    client.send(word, port, LOOPBACK, () => {})
  }, 200)
  const stop = () => clearInterval(talk)
  t.teardown(stop)
  return { heard, words, stop }
}
