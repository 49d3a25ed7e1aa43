/**
 * One process of the host at a time. The lock is an abstract socket (unix(7)): the kernel gives the
 * name to one process and takes it back when that dies, whatever it dies of. Only processes of one
 * network namespace share it, as they share the daemon.
 *
 * Anybody on the host can take the name. So the lock only keeps processes from undoing each other's
 * work by chance, and whoever waits in vain goes on without: nothing can leave in clear meanwhile,
 * and what was undone is noticed and done again.
 */
import { createHash } from 'node:crypto'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** Milliseconds. Changes take tens of them. */
const PATIENCE = 3000

let impatientUntil = 0

/** Runs `work` while no other process does so for the same path, as far as they play fair. */
export async function locked<T>(path: string, work: () => Promise<T>): Promise<T> {
  const name = `\0secure-socket-${createHash('sha256').update(path).digest('hex').slice(0, 32)}`
  const release = await acquire(name)
  try {
    return await work()
  } finally {
    release()
  }
}

async function acquire(name: string): Promise<() => void> {
  const end = Math.max(performance.now() + PATIENCE, 0)
  for (;;) {
    const held = await tryToHold(name)
    if (held !== undefined) return held
    const now = performance.now()
    if (now >= end || now < impatientUntil) {
      // Somebody keeps it: once is enough to wait for that.
      impatientUntil = now + 60_000
      return () => {}
    }
    await untilReleased(name, end - now)
  }
}

/** @returns releases it; undefined where somebody else has it */
function tryToHold(name: string): Promise<(() => void) | undefined> {
  return new Promise(resolve => {
    const waiting = new Set<Socket>()
    const server: Server = createServer(socket => {
      waiting.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => waiting.delete(socket))
    })
    server.on('error', () => resolve(undefined))
    server.listen({ path: name }, () => {
      resolve(() => {
        server.close()
        for (const socket of waiting) socket.destroy()
      })
    })
  })
}

/** Until the holder hangs up, or a little while. */
function untilReleased(name: string, patience: number): Promise<void> {
  return new Promise(resolve => {
    const socket = connect({ path: name })
    const timer = setTimeout(() => socket.destroy(), Math.min(patience, 500))
    socket.on('error', () => {})
    socket.on('close', () => {
      clearTimeout(timer)
      setTimeout(resolve, 1 + Math.random() * 4)
    })
    socket.resume()
  })
}
