/** What a Room runs: commands of the test's, and a socket that tells what arrives. */
import { execFileSync } from 'node:child_process'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { SecureDgramSocket } from '../../../src/sockets/secure-dgram-socket.js'

export type Question = { readonly run: string } | { readonly listen: Listening }

export interface Listening {
  readonly address: string
  readonly port: number
  readonly security: DatagramSecuritySettings
}

export interface Report {
  readonly done?: true
  readonly failed?: string
  readonly arrived?: readonly [number: number, size: number][]
}

process.on('message', (question: Question) => {
  try {
    if ('run' in question) run(question.run)
    else listen(question.listen)
  } catch (error) {
    report({ failed: (error as Error).message })
  }
})
process.on('disconnect', () => process.exit())
report({ done: true })

function run(command: string): void {
  execFileSync('sh', ['-c', command], { stdio: ['ignore', 'ignore', 'pipe'] })
  report({ done: true })
}

function listen({ address, port, security }: Listening): void {
  const socket = new SecureDgramSocket({
    type: address.includes(':') ? 'udp6' : 'udp4',
    security,
    recvBufferSize: 4_000_000,
  })
  let arrived: [number, number][] = []
  socket.on('message', message => {
    if (arrived.length === 0) {
      setImmediate(() => {
        report({ arrived })
        arrived = []
      })
    }
    arrived.push([message.readUInt32BE(), message.length])
  })
  socket.on('error', error => report({ failed: error.message }))
  socket.bind(port, address, () => report({ done: true }))
}

function report(message: Report): void {
  process.send?.(message)
}
