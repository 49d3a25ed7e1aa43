/** What an end of ours has been told of a connection when all is over, and whether that is as it must be. */
import type { SecureSocket } from '../../../src/sockets/secure-socket.js'

export interface Outcome {
  events: string[]
  error?: Error & { code?: string }
  written?: Error | null | undefined
  heard: string
}

/** The codes of a connection that somebody has cut or meddled with. */
export const expectedCodes =
  /^(ECONNRESET|EPIPE|ERR_TLS_HANDSHAKE_TIMEOUT|ERR_PEER_CLOSED_BEFORE_ACCEPTANCE|ERR_SSL_[A-Z0-9_]+)$/

/** It says this, hears the other, and ends; once secured, it gives up after so much silence. */
export function outcomeOf(socket: SecureSocket, text: string, silence: number): Promise<Outcome> {
  const outcome: Outcome = { events: [], heard: '' }
  const patience = () => socket.setTimeout(silence, () => socket.destroy())
  if (socket.connecting) socket.once('connect', patience)
  else patience()
  for (const name of ['connect', 'end', 'error', 'close'])
    socket.on(name, () => outcome.events.push(name))
  socket.on('error', error => {
    outcome.error = error
  })
  socket.on('data', data => {
    outcome.heard += data
    socket.end()
  })
  socket.write(text, error => {
    outcome.events.push('written')
    outcome.written = error
  })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no 'close': ${outcome.events}`)), 30_000)
    socket.on('close', () => {
      clearTimeout(timer)
      setImmediate(resolve, outcome)
    })
  })
}

/** What is wrong with that of a client; nothing where it is as it must be. */
export function faultOfClient(
  outcome: Outcome,
  answer: string,
  isHarmed: boolean,
): string | undefined {
  const { events, error, written, heard } = outcome
  const told = story(outcome)
  const connected = events.indexOf('connect')
  if (connected === -1 && !error) return `an error, or a connection: ${told}`
  if (connected === -1 && !written) return `not written, since it was never secured: ${told}`
  if (!written && events.indexOf('written') < connected) return `written after 'connect': ${told}`
  if (!isHarmed && heard !== answer) return `nobody has harmed it: ${told}`
  return faultOfEither(outcome, answer)
}

/** The same of a server's connection, which was secured. */
export function faultOfServer(outcome: Outcome, question: string): string | undefined {
  return faultOfEither(outcome, question)
}

function faultOfEither(outcome: Outcome, truth: string): string | undefined {
  const { events, error, heard } = outcome
  const told = story(outcome)
  const count = (name: string) => events.filter(each => each === name).length
  if (count('close') !== 1 || events.at(-1) !== 'close') return `one end, the last: ${told}`
  if (count('written') !== 1) return `the write is told of once: ${told}`
  if (count('error') > 1) return `one error: ${told}`
  if (error && !expectedCodes.test(error.code ?? '')) return `a code that can be: ${told}`
  if (heard !== '' && heard !== truth) return `the truth, or nothing: ${heard}`
  return undefined
}

function story({ events, error, written }: Outcome): string {
  return `${events} ${error?.code} ${written?.message}`
}
