/**
 * What happens to a call with an OVERLAPPED once Node has taken the SOCKET: libuv ends the process
 * where its completion port hears of a call that is not its own. So it is tried in another process.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { query, setSecurity } from './calls.js'
import { duration } from './machine.js'
import type { Question } from './question.js'
import { named } from './report.js'
import { newSocket } from './sockets.js'
import { usableSettings } from './usable.js'
import { queryTemplate, sizes } from './variants.js'

/** The command of the other process. */
export const ADOPTION_COMMAND = 'adoption'

/** How long the other process may take: its call is given up after a minute. */
const PATIENCE_MS = 90_000

interface Result {
  readonly settings: string
  readonly connect: string
  readonly query: string
  readonly late: boolean
  readonly error: number
  /** Node still sends and receives by this socket. */
  readonly goesOn: boolean
}

export const adoption: Question = {
  id: 'adoption',
  asks: 'Do overlapped calls complete on a SOCKET that Node has taken, and does Node go on?',
  expected: 'yes, with the lowest bit of the event set',
  needs: 'machine',
  async answer(check) {
    const results = []
    // Where loopback cannot be secured there is no connection; then a plain one has to do.
    for (const secured of ['secured', 'plain']) {
      if (results.length > 0) break
      const { ended, result } = await inOtherProcess(secured)
      check.note(`${secured}, the process`, ended)
      if (!result) {
        results.push(ended.startsWith('code 0') ? null : false)
        continue
      }
      for (const step of ['settings', 'connect', 'query'] as const)
        check.note(`${secured}, ${step}`, result[step])
      check.note(`${secured}, data afterwards`, result.goesOn ? 'both ways' : 'NO')
      if (result.connect === 'ok') results.push(!result.late && result.goesOn)
    }
    const agrees = results.includes(false) ? false : results.includes(true) ? true : null
    const answer = agrees ? 'yes' : agrees === false ? 'NO' : 'there was no connection to try it on'
    return { answer, agrees }
  },
}

async function inOtherProcess(secured: string): Promise<{ ended: string; result?: Result }> {
  const folder = await mkdtemp(join(tmpdir(), 'windows-check-'))
  const file = join(folder, 'result.json')
  try {
    const script = process.argv[1] as string
    const args = [...process.execArgv, script, ADOPTION_COMMAND, secured, file]
    const child = spawn(process.execPath, args, { stdio: 'ignore' })
    const timer = setTimeout(() => child.kill(), PATIENCE_MS)
    const [code, signal] = await once(child, 'close')
    clearTimeout(timer)
    const ended = signal ? `was ended after ${PATIENCE_MS} ms` : `code ${code}`
    const text = await readFile(file, 'utf8').catch(() => '')
    return text === '' ? { ended } : { ended, result: JSON.parse(text) as Result }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The other process: a connection to itself, by a SOCKET of ours that Node has taken. */
export async function adoptionProcess([secured, file = '']: readonly string[]) {
  const server = createServer(socket => socket.on('error', () => {}).pipe(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  const descriptor = newSocket('stream', { address: '127.0.0.1' })
  let set = 'none'
  if (secured === 'secured')
    set = named((await setSecurity(descriptor, await usableSettings(), 'overlapped')).error)
  const socket = adopt(descriptor)
  const connect = await connected(socket, port)

  const asked =
    connect === 'ok'
      ? await query(descriptor, queryTemplate('DEFAULT'), sizes.QUERY_INFO, 'lowBit')
      : { error: 0, pending: false, late: false, milliseconds: 0 }
  const goesOn = connect === 'ok' && (await echoes(socket))
  const result: Result = {
    settings: set,
    connect,
    query: duration(asked),
    late: asked.late,
    error: asked.error,
    goesOn,
  }
  await writeFile(file, JSON.stringify(result))
  // Where a packet of the call has come to libuv, it has ended this process by now.
  process.exit(0)
}

interface Handle {
  readonly constructor: new (type: number) => Handle
  open(descriptor: number): number
}

/** A socket of Node's upon a SOCKET of ours. */
function adopt(descriptor: number): Socket {
  // Node shows the class of its handles only by one of them.
  const throwaway = new Socket()
  throwaway.on('error', () => {})
  throwaway.connect({ host: 'x.invalid', port: 1, lookup() {} })
  const shown = (throwaway as unknown as { _handle: Handle })._handle
  const handle = new shown.constructor(0)
  throwaway.destroy()
  const error = handle.open(descriptor)
  if (error) throw new Error(`Node does not take the SOCKET: ${error}`)
  return new Socket({ handle, manualStart: true } as object)
}

async function connected(socket: Socket, port: number): Promise<string> {
  socket.connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(30_000) })
    return 'ok'
  } catch (error) {
    return String((error as { code?: string }).code ?? (error as Error).message)
  }
}

async function echoes(socket: Socket): Promise<boolean> {
  socket.write('ping')
  socket.resume()
  try {
    const [data] = await once(socket, 'data', { signal: AbortSignal.timeout(5_000) })
    return String(data) === 'ping'
  } catch {
    return false
  }
}
