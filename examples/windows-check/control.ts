/**
 * How the client tells the server what to do: lines of JSON over plain TCP, on a port of its own.
 * Nothing that goes over it is secret.
 */
import { once } from 'node:events'
import { createConnection, createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

export interface Command {
  readonly do: string
  readonly [key: string]: unknown
}

/** What a line may hold; more is not from us. */
const MAX_LINE = 100_000
/** How long a command may take. */
const PATIENCE_MS = 120_000

/** Does what one client says, until it hangs up. */
export async function serveControl(
  port: number,
  perform: (command: Command, client: string) => Promise<unknown>,
  listening: (port: number) => void,
): Promise<void> {
  const server = createServer()
  server.listen(port, () => listening((server.address() as { port: number }).port))
  const [socket] = (await Promise.race([
    once(server, 'connection'),
    once(server, 'error').then(([error]) => {
      throw error
    }),
  ])) as [Socket]
  // One client: the ports that it has opened here are nobody else's business.
  server.close()
  socket.on('error', () => {})
  for await (const line of lines(socket)) {
    const answer = await perform(JSON.parse(line) as Command, socket.remoteAddress ?? '').catch(
      error => ({ failed: String((error as Error).message) }),
    )
    socket.write(`${JSON.stringify(answer ?? {})}\n`)
  }
  socket.destroy()
}

export interface Control {
  /** Where the server is. */
  readonly address: string
  readonly localAddress: string
  /** @throws (rejects) where the server could not do it, or is gone */
  ask<T = Record<string, unknown>>(command: Command): Promise<T>
  end(): void
}

export async function connectControl(host: string, port: number): Promise<Control> {
  const socket = createConnection({ host, port, family: 4 })
  await once(socket, 'connect')
  socket.on('error', () => {})
  const answers = lines(socket)
  return {
    address: socket.remoteAddress as string,
    localAddress: socket.localAddress as string,
    async ask<T>(command: Command) {
      socket.write(`${JSON.stringify(command)}\n`)
      const silent = AbortSignal.timeout(PATIENCE_MS)
      silent.onabort = () => socket.destroy()
      const { value, done } = await answers.next()
      silent.onabort = null
      if (done) throw new Error('the server has hung up')
      const answer = JSON.parse(value as string)
      if (answer.failed) throw new Error(`the server: ${answer.failed}`)
      return answer as T
    },
    end: () => socket.destroy(),
  }
}

async function* lines(socket: Socket): AsyncGenerator<string> {
  let length = 0
  socket.on('data', data => {
    length = data.includes(10) ? 0 : length + data.length
    if (length > MAX_LINE) socket.destroy()
  })
  for await (const line of createInterface({ input: socket })) yield line
}
