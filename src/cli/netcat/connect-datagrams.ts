import { lookup } from 'node:dns/promises'
import { createSocket } from '../../dgram.js'
import type { SecureDgramSocket } from '../../sockets/secure-dgram-socket.js'
import type { Terminal } from '../command.js'
import { sent, untilClosed } from './datagram-socket.js'
import { datagramsOf } from './datagrams-of.js'
import type { Events } from './events.js'
import { Idle } from './idle.js'
import type { NetcatOptions } from './options.js'
import { DatagramOutput } from './output.js'

/** Datagrams have no end: after that of the input, answers are waited for so long. Milliseconds. */
const ANSWERS_MS = 5000

/** @throws (rejects) why the peer could not be secured, or a message could not be sent */
export async function connectDatagrams(
  host: string,
  options: NetcatOptions,
  terminal: Terminal,
  events: Events,
): Promise<void> {
  const { port, security, peerTargetName } = options
  const { address, family } = await lookup(host)
  const socket = createSocket({ type: family === 6 ? 'udp6' : 'udp4', security })
  await untilClosed(socket, async () => {
    if (peerTargetName !== undefined)
      await socket.setPeerTargetName({ address, port, targetName: peerTargetName })
    await connected(socket, port, host, options.timeout)
    events.secured({ address, port }, await socket.querySecurity())
    await converse(socket, options, terminal, events)
  })
}

/** Secured, and not only called connected. */
function connected(
  socket: SecureDgramSocket,
  port: number,
  host: string,
  timeout: number | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = new Idle(timeout, () =>
      reject(new Error(`${host} was not secured within ${(timeout ?? 0) / 1000} s`)),
    )
    socket.on('error', reject)
    socket.on('peerError', () => {})
    socket.connect(port, host, () => {
      socket.secure().then(() => resolve(), reject)
    })
    socket.once('close', () => late.stop())
    socket.once('secure', () => late.stop())
  })
}

function converse(
  socket: SecureDgramSocket,
  { lines, idle }: NetcatOptions,
  { stdin, stdout }: Terminal,
  events: Events,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const output = new DatagramOutput(stdout, lines)
    let ended = false
    let quiet = new Idle(idle, () => settle())
    const settle = (error?: Error) => {
      quiet.stop()
      stdin.destroy()
      if (output.lost > 0) events.note(`${output.lost} datagrams were lost: nobody read the output`)
      if (error) reject(error)
      else resolve()
    }
    stdout.on('error', error => settle(new Error(`stdout: ${error.message}`)))
    socket.on('error', settle)
    socket.on('peerError', settle)
    socket.on('peerClose', () => {
      if (ended) settle()
      else events.note('the peer has ended; what is sent next is secured anew')
    })
    socket.on('message', message => {
      quiet.touch()
      output.write(message)
    })
    const send = async () => {
      for await (const datagram of datagramsOf(stdin, lines)) {
        quiet.touch()
        await sent(socket, datagram)
      }
      ended = true
      quiet.stop()
      quiet = new Idle(idle ?? ANSWERS_MS, () => settle())
      if (socket.peers().length === 0) settle()
    }
    send().catch(settle)
  })
}
