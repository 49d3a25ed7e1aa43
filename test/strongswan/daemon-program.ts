/**
 * A process that uses the daemon's interface as it is told, on whichever host it runs: one command of
 * JSON a line, one answer each; and lines for what the daemon's watcher is told.
 */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Flow, Guard, Listener } from '../../src/providers/strongswan/daemon/daemon.js'
import { daemonAt } from '../../src/providers/strongswan/daemon/daemons.js'
import type { FiveTuple, Transport } from '../../src/providers/strongswan/plans/plans.js'
import { certified, type PlanName, planOf } from './daemon-plans.js'
import type { ErrorAnswer } from './daemon-processes.js'

const host = process.env.HOST as string
const daemon = daemonAt(`/run/${host}/charon.vici`)
const say = (what: object) => process.stdout.write(`${JSON.stringify(what)}\n`)
const sockets = new Map<number, Socket>()
const things = new Map<string, Guard | Flow | Listener>()

daemon.watch({
  changed: changed => say({ event: 'changed', changed }),
  interrupted: error => say({ event: 'interrupted', message: error.message }),
  restored: () => say({ event: 'restored' }),
  lost: error => say({ event: 'lost', message: error.message }),
})

/** What can be asked for. */
const commands = {
  /** Binds a datagram socket that echoes what comes. */
  async echo(port: number, address: string): Promise<void> {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
    sockets.set(port, socket)
    socket.bind(port, address)
    await once(socket, 'listening')
    socket.on('message', (data, { address, port }) => socket.send(data, port, address, () => {}))
  },
  async guard(name: string, transport: Transport, port: number, address?: string): Promise<void> {
    things.set(name, await daemon.guard(transport, port, address))
  },
  async flow(name: string, flow: FiveTuple, plan: PlanName): Promise<void> {
    things.set(name, await daemon.addFlow({ ...flow, connection: planOf(plan) }))
  },
  async listener(
    name: string,
    transport: Transport,
    localAddress: string,
    localPort: number,
    plan: PlanName,
  ): Promise<void> {
    const connections = [planOf(plan)]
    const listener = { transport, localAddress, localPort, connections }
    things.set(name, await daemon.addListener(listener))
  },
  async initiate(name: string, timeout = 10_000): Promise<void> {
    await (things.get(name) as Flow).initiate({ timeout })
  },
  async find(flow: FiveTuple): Promise<unknown> {
    return daemon.find(flow, [certified(host, '%any')])
  },
  async holds(address?: string): Promise<boolean> {
    return daemon.holds(address)
  },
  async remove(name: string): Promise<void> {
    await (things.get(name) as Flow | Listener).remove()
  },
  async release(name: string): Promise<void> {
    await (things.get(name) as Guard).release()
  },
  async end(): Promise<void> {
    for (const socket of sockets.values()) socket.close()
    process.stdin.destroy()
  },
}
export type Commands = typeof commands

say({ event: 'ready' })
createInterface(process.stdin).on('line', async line => {
  const { id, command, args } = JSON.parse(line)
  try {
    const run = commands[command as keyof Commands] as (...args: unknown[]) => Promise<unknown>
    say({ id, result: (await run(...args)) ?? null })
  } catch (error) {
    const { code, message } = error as ErrorAnswer
    say({ id, error: { code, message } })
  }
})
