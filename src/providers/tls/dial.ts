/**
 * The client's side: one `tls.connect()` that resolves, connects and secures; then our own check of
 * the peer's name, the server's acceptance, and only then the channel is handed over.
 */
import type { X509Certificate } from 'node:crypto'
import { isIP, type Socket, type TcpNetConnectOpts } from 'node:net'
import nodeTls, { type ConnectionOptions, type TLSSocket } from 'node:tls'
import { allowClearTimeout } from '../../model/defaults.js'
import { SocketSecurityError } from '../../model/errors.js'
import { checkCertificate } from '../../model/peer-identity.js'
import type { ParsedSettings } from '../../model/settings.js'
import type { TargetName } from '../../model/target-name.js'
import { connectInClear } from '../clear-connection.js'
import { logStream, warnOfKeylog } from '../keylog.js'
import type { Connection, Dial, DialObserver, DialRequest } from '../provider.js'
import { acceptanceByte, hasAcceptance, withAcceptance } from './acceptance.js'
import { clearConnection, TlsConnection } from './connection.js'
import { clientContext } from './context.js'
import { explainTlsError, isNotTls, tlsCode } from './explain.js'
import { firstAnswer } from './first-answer.js'
import { patience } from './patience.js'
import { peerCertificate, withoutChain } from './peer-certificate.js'
import {
  dropSessions,
  keepSession,
  type SessionEnd,
  sessionEnd,
  sessionKey,
  takeSession,
} from './session-cache.js'

// Taken now: a program that secures others by patching tls must not send us round in circles.
const tls = { ...nodeTls }

/** Connects, secures, and reports to the observer. */
export function dial(request: DialRequest, observer: DialObserver): Dial {
  const { options, settings, targetName } = request
  checkClientSettings(request)
  const context = clientContext(settings)
  const host = options.host || 'localhost'
  const peer = `${host}:${options.port}`
  const sessions = sessionKey(settings.fingerprint, host, options.port, targetName.text)
  /** The address that was connected to: clear text goes there and nowhere else. */
  let reached: string | undefined
  let mayStayClear = settings.allowInsecure && !request.targetNameSet && !request.securedBefore

  let current: Socket | null = null
  let stopTimer = () => {}
  let passingOn = false
  let acceptanceRefused = false
  const listening: [string, (...args: unknown[]) => void][] = []

  const hasCertificate = settings.cert !== undefined || settings.pfx !== undefined
  secure(hasCertificate && !refusesAcceptance(peer))
  return { cancel: abandon }

  function secure(askAcceptance: boolean): void {
    const kept = settings.ownPsk ? undefined : takeSession(sessions)
    const { alpn, ownPsk } = settings
    const offered = askAcceptance ? withAcceptance(alpn) : [...alpn]
    const servername = settings.servername ?? serverName(targetName, host)
    const connectOptions: ConnectionOptions = {
      ...netOptions(options),
      secureContext: context,
      // Our own check runs after every handshake, resumed ones too; node:tls skips its own there.
      checkServerIdentity: checkedLater,
      // Neither a pinned key nor a pre-shared one needs an authority: judge() decides. Where an
      // authority is given as well, it must hold too.
      rejectUnauthorized: settings.ca !== undefined || (targetName.kind !== 'pin' && !ownPsk),
      ...(offered.length === 0 ? {} : { ALPNProtocols: offered }),
      ...(servername === undefined ? {} : { servername }),
      ...(ownPsk === undefined
        ? {}
        : { pskCallback: () => ({ identity: ownPsk.identity, psk: ownPsk.key }) }),
    }
    const channel = tls.connect(connectOptions)
    withoutChain(channel)
    // tls.connect() hands it to nobody.
    if (options.blockList) Reflect.set(channel, 'blockList', options.blockList)
    // Among the options node:tls would parse it twice, and set now it is lost where several addresses
    // are tried: each has a handle of its own. This is the one that has connected, before it handshakes.
    if (kept) {
      channel.prependOnceListener('connect', () =>
        (channel as SessionSetter).setSession(kept.session.data),
      )
    }
    follow(channel)
    // In TLS 1.2 the session comes before the peer is judged; it is kept only after that.
    const early: Buffer[] = []
    listen('session', (data: Buffer) => early.push(data))
    if (settings.keylog) {
      warnOfKeylog()
      channel.on('keylog', line => {
        logStream(settings, line)
        observer.event('keylog', [line])
      })
    }
    listen('connect', () => {
      startTimer(settings.handshakeTimeout, () => failed(handshakeTimeout(settings, peer)))
      reached = channel.remoteAddress
      if (mayStayClear) stayClearAfterSilence(channel)
    })
    listen('secureConnect', () => {
      const resumed = kept !== undefined && channel.isSessionReused()
      const certificate = resumed ? kept.certificate : peerCertificate(channel)
      let connection: TlsConnection
      try {
        connection = judge(channel, certificate, request, peer)
      } catch (error) {
        return failed(error as Error)
      }
      // Not before the peer has proved its name: anybody can send an alert.
      if (acceptanceRefused) rememberRefusal(peer)
      if (resumed) connection.resumedCertificate = kept.certificate
      if (certificate) {
        const end = resumed ? kept.session.end : sessionEnd(certificate)
        keepSessionsOf(channel, connection, sessions, { certificate, end, early })
      }
      if (hasAcceptance(channel.alpnProtocol)) return awaitAcceptance(channel, connection)
      // The server asked for a certificate if it named signature algorithms for it. In TLS 1.2 a
      // session proves nothing here: it came before the server had judged our certificate.
      connection.refusalPossible = hasCertificate && channel.getSharedSigalgs().length > 0
      established(channel, connection)
    })
    listen('error', (error: Error) => {
      if (kept) dropSessions(sessions)
      if (askAcceptance && noApplicationProtocol(error)) {
        acceptanceRefused = true
        abandon()
        // An alert is an answer in TLS.
        mayStayClear = false
        secure(false)
      } else if (mayStayClear && reached !== undefined && isNotTls(error)) {
        stayClearUnlessTls(connectOptions, explainTlsError(error, peer))
      } else {
        failed(
          isReset(error) ? closedEarly(peer, hasCertificate, error) : explainTlsError(error, peer),
        )
      }
    })
    listen('close', () => failed(closedEarly(peer, hasCertificate)))
  }

  /** The server's first byte says that it has accepted our certificate. */
  function awaitAcceptance(channel: TLSSocket, connection: TlsConnection): void {
    listen('data', (chunk: Buffer) => {
      if (chunk[0] !== acceptanceByte[0]) {
        return failed(
          new SocketSecurityError(
            'EPROTO',
            `${peer} agreed to say that it accepts us, and said something else`,
            { peer },
          ),
        )
      }
      connection.early = chunk.length > 1 ? chunk.subarray(1) : null
      connection.overhead = acceptanceRead
      established(channel, connection)
    })
    listen('end', () => {
      failed(
        new SocketSecurityError(
          'ERR_PEER_CLOSED_BEFORE_ACCEPTANCE',
          `${peer} closed the connection without accepting our certificate: it refused the certificate, or it is shutting down; its 'tlsClientError' says why`,
          { peer },
        ),
      )
    })
  }

  /** R15: a peer that says nothing at all may be spoken to in clear. */
  function stayClearAfterSilence(channel: TLSSocket): void {
    startTimer(Math.min(allowClearTimeout, settings.handshakeTimeout), () => {
      // Bytes on the wire, not of the application; where Node does not tell, nothing goes in clear.
      const { _handle } = channel as unknown as { _handle?: { _parent?: { bytesRead?: number } } }
      if (reached !== undefined && _handle?._parent?.bytesRead === 0) stayClear()
      else startTimer(settings.handshakeTimeout, () => failed(handshakeTimeout(settings, peer)))
    })
  }

  /** R15: a peer whose answer is something else than TLS may be spoken to in clear. */
  function stayClearUnlessTls(tlsOptions: ConnectionOptions, error: Error): void {
    abandon()
    const { handshakeTimeout } = settings
    current = firstAnswer(sameAddress(), tlsOptions, handshakeTimeout, answer => {
      if (answer === 'other') stayClear()
      else failed(error)
    })
    observer.channel(current)
  }

  /** R15: another connection, without TLS. */
  function stayClear(): void {
    abandon()
    const channel = connectInClear(sameAddress())
    follow(channel)
    listen('connect', () => established(channel, clearConnection))
    listen('error', failed)
    listen('close', () => failed(closedEarly(peer, false)))
  }

  /** A name can lead to another host the next time, which was never asked for TLS. */
  function sameAddress(): TcpNetConnectOpts {
    const { lookup: _lookup, family: _family, ...rest } = netOptions(options)
    return { ...rest, host: reached as string, autoSelectFamily: false }
  }

  /** One at a time; the connection keeps the process alive, unless it is unref'd, and the timer does not. */
  function startTimer(milliseconds: number, listener: () => void): void {
    stopTimer()
    stopTimer = patience(milliseconds, listener)
  }

  function follow(channel: Socket): void {
    current = channel
    for (const name of connectingEvents) {
      listen(name, (...args: unknown[]) => {
        passingOn = true
        try {
          observer.event(name, args)
        } finally {
          passingOn = false
        }
      })
    }
    observer.channel(channel)
  }

  function listen(event: string, listener: (...args: never[]) => void): void {
    current?.on(event, listener as (...args: unknown[]) => void)
    listening.push([event, listener as (...args: unknown[]) => void])
  }

  function established(channel: Socket, connection: Connection): void {
    release()
    observer.established(channel, connection)
  }

  function failed(error: Error): void {
    if (!current) return
    abandon()
    observer.failed(error)
  }

  /** Ends what is under way. */
  function abandon(): void {
    const channel = current
    release()
    // What still comes of it concerns nobody.
    channel?.on('error', () => {})
    // After an event of its connecting Node goes on with the handle, which must still be there.
    if (passingOn) process.nextTick(() => channel?.destroy())
    else channel?.destroy()
  }

  /** Lets go of the channel. */
  function release(): void {
    stopTimer()
    for (const [event, listener] of listening) current?.off(event, listener)
    listening.length = 0
    current = null
  }
}

/** The settings that a client cannot do with. */
function checkClientSettings({ settings, targetName, targetNameSet }: DialRequest): void {
  const syscall = 'WSASetSocketSecurity'
  if (!settings.rejectUnauthorized) {
    throw new SocketSecurityError(
      'EINVAL',
      'security.rejectUnauthorized is false, but a client always authenticates its server: give its ca, or pin its key with a sha256/… target name',
      { syscall },
    )
  }
  if (settings.ownPsk && targetNameSet) {
    throw new SocketSecurityError(
      'EINVAL',
      `security.psk cannot prove the target name ${targetName.text}: a shared key has no name; leave the target name away, or use certificates`,
      { syscall },
    )
  }
  const trustsNobody = Array.isArray(settings.ca) && settings.ca.length === 0
  if (trustsNobody && !settings.ownPsk && targetName.kind !== 'pin') {
    throw new SocketSecurityError(
      'ENOCREDENTIAL',
      'security.ca is empty: nobody is trusted; give ca, psk, or a sha256/… target name',
      { syscall },
    )
  }
}

/**
 * Has the peer proved who it is? Runs after every handshake, before anything is sent.
 * @throws SocketSecurityError
 */
function judge(
  channel: TLSSocket,
  certificate: X509Certificate | undefined,
  { settings, targetName }: DialRequest,
  peer: string,
): TlsConnection {
  const connection = new TlsConnection(channel, peer)
  if (certificate === undefined) {
    if (settings.ownPsk === undefined || !channel.isSessionReused()) {
      throw new SocketSecurityError(
        'ERR_PEER_NOT_AUTHENTICATED',
        `${peer} presented no certificate`,
        { peer },
      )
    }
    connection.pskIdentity = settings.ownPsk.identity
    return connection
  }
  if (settings.ownPsk && settings.ca === undefined) {
    throw new SocketSecurityError(
      'ERR_PEER_NOT_AUTHENTICATED',
      `${peer} does not know our pre-shared key and presented a certificate instead; give ca if that is to be accepted`,
      { peer },
    )
  }
  checkCertificate(certificate, targetName, peer)
  connection.targetName = targetName
  return connection
}

/** Keeps the sessions of a channel: those that came early, and those that come whenever the server sends them. */
function keepSessionsOf(
  channel: TLSSocket,
  connection: TlsConnection,
  key: string,
  { certificate, end, early }: { certificate: X509Certificate; end: SessionEnd; early: Buffer[] },
): void {
  const reusable = channel.getProtocol() !== 'TLSv1.3'
  const keep = (data: Buffer) => {
    connection.refusalPossible = false
    keepSession(key, certificate, { data, reusable, end })
  }
  early.forEach(keep)
  channel.on('session', keep)
}

/** The name for SNI: the host that the peer must prove to be, else the host that was dialled. Addresses are not sent (RFC 6066, section 3). */
function serverName(targetName: TargetName, host: string): string | undefined {
  const name = targetName.kind === 'dns' || targetName.kind === 'spn' ? targetName.host : host
  return isIP(name) === 0 ? name : undefined
}

/** node:net's own options; no TLS option of theirs can reach the handshake. */
function netOptions(options: TcpNetConnectOpts): TcpNetConnectOpts {
  const given = { ...options, lookup: laterLookup(options.lookup) } as Record<string, unknown>
  return Object.fromEntries(
    netOptionNames.filter(name => given[name] !== undefined).map(name => [name, given[name]]),
  ) as unknown as TcpNetConnectOpts
}

/** A look-up that answers at once would connect before we listen, and before the block list is set; one that answers twice would connect twice. */
function laterLookup(lookup: TcpNetConnectOpts['lookup']): TcpNetConnectOpts['lookup'] {
  if (typeof lookup !== 'function') return lookup
  return (host, options, callback) => {
    let answered = false
    lookup(host, options, (...result) => {
      if (answered) return
      answered = true
      process.nextTick(callback, ...result)
    })
  }
}

const netOptionNames = [
  'port',
  'host',
  'localAddress',
  'localPort',
  'hints',
  'family',
  'lookup',
  'noDelay',
  'keepAlive',
  'keepAliveInitialDelay',
  'autoSelectFamily',
  'autoSelectFamilyAttemptTimeout',
  'blockList',
  'typeOfService',
  'highWaterMark',
]

const connectingEvents = [
  'lookup',
  'connectionAttempt',
  'connectionAttemptFailed',
  'connectionAttemptTimeout',
]

/** What every TLSSocket has and its types do not tell. */
type SessionSetter = TLSSocket & { setSession(session: Buffer): void }

/** One function for all: a socket keeps its options, and a closure would keep all of its dial alive. */
function checkedLater(): undefined {}

const acceptanceRead = { read: acceptanceByte.length, written: 0 }

/** Servers that do not know the acceptance token, by host and port, and until when that is remembered. */
const refusing = new Map<string, number>()
const rememberFor = 60 * 60 * 1000

function refusesAcceptance(peer: string): boolean {
  return (refusing.get(peer) ?? Number.NEGATIVE_INFINITY) > performance.now()
}

function rememberRefusal(peer: string): void {
  refusing.set(peer, performance.now() + rememberFor)
  if (refusing.size > 1000) refusing.delete(refusing.keys().next().value as string)
}

function noApplicationProtocol(error: Error): boolean {
  return tlsCode(error) === 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL'
}

function handshakeTimeout(settings: ParsedSettings, peer: string): Error {
  return new SocketSecurityError(
    'ERR_TLS_HANDSHAKE_TIMEOUT',
    `${peer} did not complete the handshake within ${settings.handshakeTimeout} ms: it may speak no TLS, or be overloaded, or a firewall drops its packets`,
    { peer },
  )
}

/** What node:tls says of an end during the handshake; a real reset has the name of a system call. */
function isReset(error: Error & { code?: string; syscall?: string }): boolean {
  return error.code === 'ECONNRESET' && error.syscall === undefined
}

/** The code that node:tls and node:net have for it, since retry logic knows it. */
function closedEarly(peer: string, hasCertificate: boolean, cause?: Error): Error {
  const guess = hasCertificate ? '; it may have refused our certificate' : ''
  const error = new Error(`${peer} closed the connection before it was secured${guess}`, { cause })
  return Object.assign(error, { code: 'ECONNRESET' })
}
