/** Does this library work between the two machines, as a program would use it? */
import { once } from 'node:events'
import { createSocket } from '../../src/dgram.js'
import { createConnection } from '../../src/net.js'
import { describe, told } from './library-server.js'
import { type Check, peerOf, type Question } from './question.js'

const streams: Question = {
  id: 'library-streams',
  asks: 'Does this library connect streams?',
  expected: 'with the right name and with the host alone, and with no wrong name',
  needs: 'peer',
  answer: check => tryNames(check, 'stream', connect),
}

const datagrams: Question = {
  id: 'library-datagrams',
  asks: 'Does this library exchange datagrams?',
  expected: 'with the right name and with the host alone, and with no wrong name',
  needs: 'peer',
  answer: check => tryNames(check, 'datagram', exchange),
}

export const libraryQuestions: readonly Question[] = [streams, datagrams]

type Try = (check: Check, port: number, name: string | undefined) => Promise<string>

async function tryNames(check: Check, kind: 'stream' | 'datagram', attempt: Try) {
  const { control, spn, wrongNames } = peerOf(check)
  const { port } = await control.ask<{ port: number }>({ do: 'library', kind })
  try {
    const good = []
    const rightNames = { 'the right name': spn, 'the host alone': undefined }
    for (const [what, name] of Object.entries(rightNames)) {
      const works = await attempt(check, port, name).then(
        got => [true, got] as const,
        error => [false, told(error)] as const,
      )
      check.note(what, works[1])
      good.push(works[0])
    }
    for (const [what, name] of Object.entries(wrongNames)) {
      const works = await attempt(check, port, name).then(
        got => [true, `CONNECTED: ${got}`] as const,
        error => [false, told(error)] as const,
      )
      check.note(what, works[1])
      good.push(!works[0])
    }
    const { lines } = await control.ask<{ lines: string[] }>({ do: 'librarySaw' })
    for (const line of lines) check.note('the server', line)
    const agrees = good.every(Boolean)
    return { answer: agrees ? 'yes' : 'NO', agrees }
  } finally {
    await control.ask({ do: 'close' })
  }
}

async function connect(check: Check, port: number, name: string | undefined): Promise<string> {
  const { host } = peerOf(check)
  const socket = createConnection({
    host,
    port,
    ...(name === undefined ? {} : { peerTargetName: name }),
    security: { protocol: 'ipsec', handshakeTimeout: check.patience },
  })
  try {
    const signal = AbortSignal.timeout(check.patience + 5_000)
    await once(socket, 'connect', { signal })
    const info = await socket.querySecurity()
    socket.write('ping')
    // Where the server lets us in and then out again, there is an end and no error.
    const [data] = await Promise.race([
      once(socket, 'data', { signal }),
      once(socket, 'close', { signal }).then(() => {
        throw new Error('the server has closed without an answer')
      }),
    ])
    return `${describe(info)}; ${String(data) === 'ping' ? 'data both ways' : 'OTHER DATA'}`
  } finally {
    socket.destroy()
  }
}

async function exchange(check: Check, port: number, name: string | undefined): Promise<string> {
  const { host, address } = peerOf(check)
  const security = { protocol: 'ipsec', handshakeTimeout: check.patience } as const
  const socket = createSocket({ type: 'udp4', security })
  try {
    if (name !== undefined) socket.setPeerTargetName({ address, port, targetName: name })
    const answered = once(socket, 'message', {
      signal: AbortSignal.timeout(check.patience + 5_000),
    })
    // Heard of below, where sending has failed first.
    answered.catch(() => {})
    await new Promise<void>((resolve, reject) => {
      socket.send('ping', port, name === undefined ? host : address, error =>
        error ? reject(error) : resolve(),
      )
    })
    await answered
    return `${describe(await socket.querySecurity({ address, port }))}; data both ways`
  } finally {
    socket.close()
  }
}
