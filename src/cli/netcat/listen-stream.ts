import { checkCertificate } from '../../model/peer-identity.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { TargetName } from '../../model/target-name.js'
import { listen, type SecureListener } from '../../promises.js'
import type { SecureSocket } from '../../sockets/secure-socket.js'
import type { Terminal } from '../command.js'
import type { Events, Peer } from './events.js'
import { exchange } from './exchange.js'
import { expectedName, type NetcatOptions } from './options.js'

/**
 * Serves one connection, or one after the other.
 * @throws (rejects) why it cannot listen; without `keep` what ended the connection before both ends did;
 * with it why nothing can be written any more
 */
export async function listenStream(
  host: string | undefined,
  options: NetcatOptions & { keep: boolean },
  terminal: Terminal,
  events: Events,
): Promise<void> {
  const { port, security, keep, timeout, idle } = options
  const expected = expectedName(options)
  const listener = await listen({ host, port, security, allowHalfOpen: true })
  events.listening(listener.address())
  listener.server.on('tlsClientError', (error, socket) => events.refused(error, peerOf(socket)))
  const nobody = patience(listener, timeout)
  let isRead = true
  terminal.stdout.once('error', () => {
    isRead = false
  })
  for await (const socket of listener) {
    const peer = peerOf(socket)
    const info = await admitted(socket, expected).catch(error => {
      events.refused(error, peer)
    })
    if (!info) continue
    nobody.came()
    events.secured(peer, info)
    if (!keep) {
      // Whoever else wants to come hears at once that nobody is there.
      void listener.close()
      return await exchange(socket, terminal, events, idle)
    }
    await exchange(socket, terminal, events, idle).catch(error => {
      // What the next one sends would be lost, and it would never know.
      if (isRead) events.refused(error, peer)
      else {
        void listener.close()
        throw error
      }
    })
  }
  nobody.check()
}

/** @throws (rejects) where the client is not who it must be; its connection is closed then */
async function admitted(
  socket: SecureSocket,
  expected: TargetName | undefined,
): Promise<SecurityInfo> {
  socket.on('error', () => {})
  try {
    const info = await socket.querySecurity()
    checkName(info, expected)
    return info
  } catch (error) {
    socket.destroy()
    throw error
  }
}

/** A server asks for the same proof as a client, before a byte goes either way. */
export function checkName({ peer }: SecurityInfo, expected: TargetName | undefined): void {
  if (expected === undefined) return
  if (peer?.certificate === undefined)
    throw new Error(`the peer has no certificate, and must prove to be ${expected.text}`)
  checkCertificate(peer.certificate, expected)
}

/** Ends the wait for the first peer. */
function patience(listener: SecureListener, timeout: number | undefined) {
  let late = false
  const expire = () => {
    late = true
    void listener.close()
  }
  const timer = timeout === undefined ? undefined : setTimeout(expire, timeout)
  return {
    came: () => clearTimeout(timer),
    check: () => {
      if (late) throw new Error(`nobody came within ${(timeout ?? 0) / 1000} s`)
    },
  }
}

function peerOf({
  remoteAddress,
  remotePort,
}: {
  remoteAddress?: string
  remotePort?: number
}): Peer {
  return { address: remoteAddress ?? '', port: remotePort ?? 0 }
}
