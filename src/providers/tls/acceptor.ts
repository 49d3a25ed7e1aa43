/**
 * The server's side: an internal tls.Server handshakes with every raw connection; then our own
 * check of the client, our acceptance where it was asked for, and only then the channel is handed
 * over.
 */
import type { Socket } from 'node:net'
import nodeTls, { type Server, type TLSSocket, type TlsOptions } from 'node:tls'
import { allowClearTimeout, fullHandshakeInterval } from '../../model/defaults.js'
import { SocketSecurityError, type SocketSecurityErrorCode } from '../../model/errors.js'
import { checkValidity } from '../../model/peer-identity.js'
import type { ParsedSettings } from '../../model/settings.js'
import { acceptedKey } from '../accepted-key.js'
import { logStream, warnOfKeylog } from '../keylog.js'
import { following } from '../live-settings.js'
import type { AcceptObserver, Acceptor } from '../provider.js'
import { resumptionContext } from '../resumption.js'
import { derivedKey, ticketKeysOf } from '../ticket-keys.js'
import {
  acceptanceByte,
  asksForAcceptance,
  hasAcceptance,
  supportedWithAcceptance,
} from './acceptance.js'
import { clearConnection, TlsConnection } from './connection.js'
import { contextOptions, explained } from './context.js'
import { explainTlsError } from './explain.js'
import { firstRecord } from './first-record.js'
import { lastPatience } from './patience.js'
import { peerCertificate } from './peer-certificate.js'

const tls = { ...nodeTls }

/** What secures connections by the same settings: made once for each of them. */
interface Servers {
  readonly settings: ParsedSettings
  readonly usual: Server
  /** For clients that ask for acceptance, where these need a server of their own. */
  readonly accepting: Server | null
}

/**
 * Makes an acceptor. Each connection is secured by the settings as they are when it comes, to its end.
 * @throws SocketSecurityError ENOCREDENTIAL (R13), EINVAL, EPROTO (R14)
 */
export function createAcceptor(current: () => ParsedSettings, observer: AcceptObserver): Acceptor {
  const serversNow = following<Servers>(current, settings => createServers(settings, observer))
  return { accept }

  function accept(raw: Socket): void {
    let servers: Servers
    try {
      servers = serversNow()
    } catch (error) {
      observer.refused(error as Error, raw)
      return
    }
    const { settings, usual, accepting } = servers
    const { allowInsecure } = settings
    // Half open while the handshake runs, an early end would leave the connection dangling.
    raw.allowHalfOpen = false
    // Asked now, since node:tls destroys some sockets before it tells of their error; net remembers it.
    void raw.remoteAddress
    if (!accepting && !allowInsecure) {
      handshake(raw, usual, settings)
      return
    }
    const patience = allowInsecure
      ? Math.min(allowClearTimeout, settings.handshakeTimeout)
      : settings.handshakeTimeout
    firstRecord(raw, patience, {
      tls: bytes =>
        handshake(raw, accepting && asksForAcceptance(bytes) ? accepting : usual, settings),
      other: () =>
        allowInsecure
          ? observer.established(raw, clearConnection)
          : handshake(raw, usual, settings),
      silence: () =>
        allowInsecure
          ? observer.established(raw, clearConnection)
          : observer.refused(timedOut(settings, raw), raw),
      stalled: () => observer.refused(timedOut(settings, raw), raw),
      error: error => observer.refused(explainTlsError(error, peerOf(raw)), raw),
    })
  }
}

function handshake(raw: Socket, server: Server, settings: ParsedSettings): void {
  useTicketKeys(server, settings)
  due.set(raw, performance.now() + settings.handshakeTimeout)
  server.emit('connection', raw)
}

function createServers(settings: ParsedSettings, observer: AcceptObserver): Servers {
  checkServerSettings(settings)
  const { alpn, requestCert } = settings
  const usual = internalServer(
    settings,
    alpn.length === 0 ? [] : supportedWithAcceptance(alpn),
    observer,
  )
  // Without protocols of its own a server ignores ALPN. One that answers "no protocol in common" to
  // a client that names some would refuse clients which node:tls accepts. So the ClientHello decides.
  const accepting =
    requestCert && alpn.length === 0
      ? internalServer(settings, supportedWithAcceptance([]), observer)
      : null
  return { settings, usual, accepting }
}

function internalServer(
  settings: ParsedSettings,
  alpn: readonly string[],
  observer: AcceptObserver,
): Server {
  const { acceptedPsk, requestCert, rejectUnauthorized } = settings
  const pskIdentities = new WeakMap<TLSSocket, string>()
  const pskFailures = new WeakMap<TLSSocket, Error>()
  const hasCertificate = settings.cert !== undefined || settings.pfx !== undefined
  const options: TlsOptions = {
    ...contextOptions(settings),
    requestCert,
    // Newer Node refuses a client that has proved a pre-shared key for its missing certificate: judge() decides.
    rejectUnauthorized: rejectUnauthorized && acceptedPsk === undefined,
    handshakeTimeout: settings.handshakeTimeout,
    sessionTimeout: fullHandshakeInterval / 1000,
    // A text of at most 32 bytes.
    sessionIdContext: resumptionContext(settings).toString('hex').slice(0, 32),
    ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
    ...(settings.pskIdentityHint === undefined
      ? {}
      : { pskIdentityHint: settings.pskIdentityHint }),
    ...(acceptedPsk === undefined
      ? {}
      : {
          pskCallback: (socket: TLSSocket, identity: string) => {
            try {
              const key = acceptedKey(settings, identity, undefined, peerOf(socket))
              pskIdentities.set(socket, identity)
              pskFailures.delete(socket)
              return key
            } catch (error) {
              pskFailures.set(socket, error as Error)
              return null
            }
          },
        }),
  }
  const server = explained(settings, () => tls.createServer(options))

  /** Those whose time Node has said to be over: what ends the waiting for each. */
  const late = new WeakMap<TLSSocket, () => void>()
  server.on('secureConnection', channel => {
    late.get(channel)?.()
    let connection: TlsConnection
    try {
      connection = judge(channel, settings, pskIdentities.get(channel))
    } catch (error) {
      channel.destroy()
      observer.refused(error as Error, channel)
      return
    }
    channel.disableRenegotiation()
    if (hasAcceptance(channel.alpnProtocol)) accept(channel, connection, observer)
    else observer.established(channel, connection)
  })
  server.on('tlsClientError', (error, channel) => {
    if ((error as { code?: string }).code === 'ERR_TLS_HANDSHAKE_TIMEOUT')
      waitALittle(error, channel)
    else refuse(error, channel)
  })
  if (settings.keylog) {
    warnOfKeylog()
    server.on('keylog', (line, channel) => {
      logStream(settings, line)
      observer.keylog(line, channel)
    })
  }
  return server

  /** Node has only told, and leaves it open: it may complete, and of its end nothing else is told. */
  function waitALittle(error: Error, channel: TLSSocket): void {
    const lateBy = performance.now() - (due.get(rawOf(channel)) ?? Number.POSITIVE_INFINITY)
    const stop = lastPatience(lateBy, settings.handshakeTimeout, over)
    channel.once('close', over)
    late.set(channel, cancel)

    function over(): void {
      cancel()
      refuse(error, channel)
    }

    function cancel(): void {
      stop()
      channel.off('close', over)
    }
  }

  function refuse(error: Error, channel: TLSSocket): void {
    const failure = pskFailures.get(channel)
    // Where there is a certificate too, the handshake went on without the key, and failed by itself.
    const isReason = failure && (failure.cause !== undefined || !hasCertificate)
    observer.refused(isReason ? failure : explainRefusal(error, channel), channel)
  }
}

/** When Node's timers of the handshakes are due, by the raw connection. */
const due = new WeakMap<Socket, number>()

/** Node has room for one key: what the one before it has sealed is not opened. */
function useTicketKeys(server: Server, settings: ParsedSettings): void {
  const [current] = ticketKeysOf(settings) ?? []
  if (current === undefined || current === inUse.get(server)) return
  server.setTicketKeys(derivedKey(current, 'TLS ticket keys', 48))
  inUse.set(server, current)
}

const inUse = new WeakMap<Server, Buffer>()

/**
 * Says that we accept, and hands over once that is written: whoever takes the handle (node:http2
 * does) must not get the completion of a write that is not his, which aborts the process.
 */
function accept(channel: TLSSocket, connection: TlsConnection, observer: AcceptObserver): void {
  connection.overhead = acceptanceWritten
  channel.on('error', failed)
  channel.on('close', failed)
  channel.write(acceptanceByte, error => {
    if (error) return
    channel.off('error', failed)
    channel.off('close', failed)
    observer.established(channel, connection)
  })

  function failed(error: Error | boolean): void {
    channel.off('close', failed)
    const reason = error instanceof Error ? error : new Error('closed before it was accepted')
    observer.refused(explainTlsError(reason, peerOf(channel)), channel)
  }
}

/** R13: what a server needs. */
function checkServerSettings(settings: ParsedSettings): void {
  const { cert, pfx, acceptedPsk, requestCert, ca } = settings
  const syscall = 'WSASetSocketSecurity'
  if (cert === undefined && pfx === undefined && acceptedPsk === undefined) {
    throw new SocketSecurityError(
      'ENOCREDENTIAL',
      'a server needs security.cert and security.key, or pfx, or psk (the keys that it accepts)',
      { syscall },
    )
  }
  if (requestCert && (ca === undefined || (Array.isArray(ca) && ca.length === 0))) {
    // Every customer of a public authority would be let in.
    throw new SocketSecurityError(
      'ENOCREDENTIAL',
      'security.requestCert needs security.ca: whose clients are accepted?',
      { syscall },
    )
  }
}

/**
 * Has the client proved what it must? Runs after every handshake: a resumed session is not verified
 * again by OpenSSL, and older Node versions take one without a certificate for authorized.
 * @throws SocketSecurityError
 */
function judge(
  channel: TLSSocket,
  settings: ParsedSettings,
  pskIdentity: string | undefined,
): TlsConnection {
  const peer = peerOf(channel)
  const connection = new TlsConnection(channel, peer)
  const certificate = settings.requestCert ? peerCertificate(channel) : undefined
  // A key that was looked up need not be the one that was used: only a handshake by pre-shared key has no certificate of ours in it.
  if (pskIdentity !== undefined && channel.isSessionReused() && certificate === undefined) {
    connection.pskIdentity = pskIdentity
    return connection
  }
  connection.authorized = false
  if (!settings.requestCert) return connection
  try {
    if (certificate === undefined) {
      throw new SocketSecurityError(
        'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE',
        `${peer}: no client certificate; give cert and key at the client, or set requestCert: false at the server`,
        { peer },
      )
    }
    if (!channel.authorized) throw untrusted(channel, peer)
    checkValidity(certificate, peer)
    connection.authorized = true
  } catch (error) {
    if (settings.rejectUnauthorized) throw error
    connection.authorizationError = (error as SocketSecurityError).code
  }
  return connection
}

function explainRefusal(error: Error, channel: TLSSocket): Error {
  const peer = peerOf(channel)
  return channel.authorizationError ? untrusted(channel, peer) : explainTlsError(error, peer)
}

function untrusted(channel: TLSSocket, peer: string): Error {
  const code = String(channel.authorizationError) as SocketSecurityErrorCode
  const error = Object.assign(new Error('its certificate is not trusted'), { code })
  return explainTlsError(error, peer)
}

function peerOf(socket: Socket): string {
  const { remoteAddress, remotePort } = rawOf(socket)
  return `${remoteAddress}:${remotePort}`
}

function rawOf(socket: Socket & { _parent?: Socket | null }): Socket {
  return socket._parent ?? socket
}

function timedOut(settings: ParsedSettings, raw: Socket): Error {
  const peer = peerOf(raw)
  return new SocketSecurityError(
    'ERR_TLS_HANDSHAKE_TIMEOUT',
    `${peer} did not begin its handshake, or not go on with it, within ${settings.handshakeTimeout} ms`,
    { peer },
  )
}

const acceptanceWritten = { read: 0, written: acceptanceByte.length }
