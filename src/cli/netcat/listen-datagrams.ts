import type { AddressInfo } from 'node:net'
import { isIPv6 } from 'node:net'
import { createSocket } from '../../dgram.js'
import { peerText } from '../../model/peer-text.js'
import type { SecureDgramSocket, SecureRemoteInfo } from '../../sockets/secure-dgram-socket.js'
import type { Terminal } from '../command.js'
import { sent, untilClosed } from './datagram-socket.js'
import { datagramsOf } from './datagrams-of.js'
import type { Events, Peer } from './events.js'
import { Idle } from './idle.js'
import { checkName } from './listen-stream.js'
import { expectedName, type NetcatOptions } from './options.js'
import { DatagramOutput } from './output.js'

type Options = NetcatOptions & { keep: boolean }

/**
 * Writes the datagrams of the first peer that speaks, or of all of them. What is read goes to the
 * first one that is still there.
 * @throws (rejects) why it cannot listen, or a message could not be sent
 */
export async function listenDatagrams(
  host: string | undefined,
  options: Options,
  terminal: Terminal,
  events: Events,
): Promise<void> {
  const { port, security } = options
  const type = host !== undefined && !isIPv6(host) ? 'udp4' : 'udp6'
  const socket = createSocket({ type, security })
  await untilClosed(socket, async () => {
    events.listening(await bound(socket, port, host))
    await converse(socket, options, terminal, events)
  })
}

function bound(
  socket: SecureDgramSocket,
  port: number,
  address: string | undefined,
): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind({ port, ...(address === undefined ? {} : { address }) }, () => {
      socket.off('error', reject)
      resolve(socket.address())
    })
  })
}

function converse(
  socket: SecureDgramSocket,
  options: Options,
  { stdin, stdout }: Terminal,
  events: Events,
): Promise<void> {
  const { lines, idle, timeout, keep } = options
  const expected = expectedName(options)
  return new Promise((resolve, reject) => {
    const output = new DatagramOutput(stdout, lines)
    /** Whom we answer. */
    let partner: Peer | undefined
    let wake: (() => void) | undefined
    let quiet = new Idle(timeout, () =>
      settle(new Error(`nobody came within ${(timeout ?? 0) / 1000} s`)),
    )
    const settle = (error?: Error) => {
      quiet.stop()
      stdin.destroy()
      if (output.lost > 0) events.note(`${output.lost} datagrams were lost: nobody read the output`)
      if (error) reject(error)
      else resolve()
    }
    const begin = (peer: Peer) => {
      quiet.stop()
      quiet = new Idle(keep ? undefined : idle, () => settle())
      partner = peer
      wake?.()
    }
    stdout.on('error', error => settle(new Error(`stdout: ${error.message}`)))
    socket.on('error', settle)
    socket.on('peerError', (error, peer) => {
      if (isSame(partner, peer) && !keep) settle(error)
      else events.refused(error, peer)
    })
    socket.on('secure', (peer, info) => events.secured(peer, info))
    socket.on('peerClose', peer => {
      if (!isSame(partner, peer)) return
      partner = undefined
      if (!keep) settle()
    })
    socket.on('message', (message, rinfo) => {
      const refusal = whyNot(rinfo)
      if (refusal) {
        events.refused(refusal, rinfo)
        socket.closePeer(rinfo)
        return
      }
      if (!partner) begin({ address: rinfo.address, port: rinfo.port })
      quiet.touch()
      output.write(message)
    })
    /** Why its datagrams are not written. */
    const whyNot = (rinfo: SecureRemoteInfo): Error | undefined => {
      if (partner && !keep && !isSame(partner, rinfo))
        return new Error(`this is a conversation with ${peerText(partner.address, partner.port)}`)
      try {
        checkName({ peer: rinfo.peer } as never, expected)
        return undefined
      } catch (error) {
        return error as Error
      }
    }
    const send = async () => {
      for await (const datagram of datagramsOf(stdin, lines)) {
        while (!partner) {
          await new Promise<void>(resolve => {
            wake = resolve
          })
        }
        quiet.touch()
        await sent(socket, datagram, partner)
      }
    }
    send().catch(settle)
  })
}

function isSame(one: Peer | undefined, other: Peer): boolean {
  return one?.address === other.address && one.port === other.port
}
