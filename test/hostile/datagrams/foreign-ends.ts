/** The kinds of handshakes with `openssl` and GnuTLS as the other end, over UDP on 127.0.0.1. */
import { join } from 'node:path'
import type { Test } from 'tap'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { files, ownDirectory } from '../../interop/files.js'
import { gnutlsCli, gnutlsServ } from '../../interop/gnutls.js'
import { sClient, sServer } from '../../interop/openssl.js'
import { requireProgram } from '../../support/foreign-program.js'
import { testIdentity } from '../../support/identities.js'
import type { Program } from '../../support/program.js'

export interface ForeignKind {
  readonly name: string
  readonly client: DatagramSecuritySettings
  readonly server: DatagramSecuritySettings
  readonly resumed: boolean
}

export interface ForeignServer {
  readonly port: number
  readonly program: Program
  /** Has it heard the end of a session, so that it takes the next one? */
  readonly isFree: RegExp
  /** What it says to its peer; GnuTLS repeats what it hears. */
  speaks(text: string): void
}

export interface ForeignClient {
  readonly program: Program
  /** It takes what is typed from then on. */
  readonly isReady: RegExp
}

export interface Maker {
  readonly name: string
  readonly programs: readonly string[]
  /** It may demand a cookie of its own. */
  server(kind: ForeignKind, mtu: number, hasCookie?: boolean): Promise<ForeignServer>
  /** Where the kind is resumed, it has met the server at `first` before. */
  client(
    kind: ForeignKind,
    port: number,
    mtu: number,
    first: number,
    more: readonly string[],
  ): Promise<ForeignClient>
  /** Has its client offer these protocols. */
  longHello(names: readonly string[]): string[]
}

const ownIdentity = await testIdentity()
const clientIdentity = await testIdentity(['client.example'])
const { ca } = ownIdentity
const PSK = Buffer.from('a key of thirty-two bytes, shared')
const certificate = ({ cert, key }: { cert: string; key: string }) => ({ cert, key })

const mutual = {
  client: { ...certificate(clientIdentity), ca },
  server: { ...certificate(ownIdentity), ca },
}
const oneSided = {
  client: { ca },
  server: { ...certificate(ownIdentity), requestCert: false },
}
const keyed = {
  client: { psk: { identity: 'sensor', key: PSK } },
  server: { psk: { sensor: PSK } },
}

export const foreignKinds: readonly ForeignKind[] = [
  { name: 'certificates of both', ...mutual, resumed: false },
  { name: 'certificates of both, resumed', ...mutual, resumed: true },
  { name: 'a certificate of the server', ...oneSided, resumed: false },
  { name: 'a certificate of the server, resumed', ...oneSided, resumed: true },
  { name: 'a pre-shared key', ...keyed, resumed: false },
]

/** `openssl` and GnuTLS, with files of this test's own. */
export function makers(t: Test): readonly Maker[] {
  const save = files(t)
  const theirs = save(certificate(ownIdentity))
  const known = save(certificate(clientIdentity))
  const { authority, keys } = save({
    authority: ca as string,
    keys: `sensor:${PSK.toString('hex')}\n`,
  })
  const isKeyed = (kind: ForeignKind) => kind.client.psk !== undefined
  const isMutual = (kind: ForeignKind) => kind.client.cert !== undefined
  const priority = (exchange: string) => [
    ...['--priority', `NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:${exchange}`],
  ]
  const hex = PSK.toString('hex')
  let sessions = 0

  return [
    {
      name: 'openssl',
      programs: ['openssl'],
      async server(kind, mtu, hasCookie = false) {
        const shown = isKeyed(kind)
          ? ['-nocert', '-psk', hex, '-psk_identity', 'sensor']
          : ['-cert', theirs.cert, '-key', theirs.key]
        const asks = ['-Verify', '1', '-verify_return_error', '-CAfile', authority]
        // It takes a ChangeCipherSpec out of its turn for the end, where it has demanded a cookie.
        const listens = hasCookie ? ['-listen'] : []
        const args = ['-dtls1_2', ...listens, '-mtu', `${mtu}`, ...shown]
        const { port, program } = await sServer(t, ...args, ...(isMutual(kind) ? asks : []))
        return { port, program, isFree: /^DONE$/m, speaks: text => program.type(text) }
      },
      async client(kind, port, mtu, first, more) {
        const shown = isKeyed(kind)
          ? ['-psk', hex, '-psk_identity', 'sensor']
          : ['-CAfile', authority, '-verify_return_error']
        const proves = isMutual(kind) ? ['-cert', known.cert, '-key', known.key] : []
        // It would wait for another datagram behind each that it has dropped, and take nothing that is typed.
        const args = ['-dtls1_2', '-nbio', '-mtu', `${mtu}`, ...shown, ...proves, ...more]
        if (!kind.resumed) return { program: sClient(t, port, ...args), isReady: READY }
        sessions += 1
        const session = join(ownDirectory(t), `session-${sessions}`)
        const before = sClient(t, first, ...args, '-sess_out', session)
        await before.said(READY, 30_000)
        await before.finish(30_000)
        return { program: sClient(t, port, ...args, '-sess_in', session), isReady: READY }
      },
      longHello: names => ['-alpn', names.join(',')],
    },
    {
      name: 'GnuTLS',
      programs: ['gnutls-cli', 'gnutls-serv'],
      async server(kind, mtu) {
        const shown = isKeyed(kind)
          ? [...priority('+ECDHE-PSK'), '--pskpasswd', keys]
          : ['--x509certfile', theirs.cert, '--x509keyfile', theirs.key]
        const asks = isMutual(kind)
          ? ['--require-client-cert', '--verify-client-cert', '--x509cafile', authority]
          : ['--disable-client-cert']
        const args = ['--udp', '--mtu', `${mtu}`, ...shown, ...(isKeyed(kind) ? [] : asks)]
        const { port, program } = await gnutlsServ(t, ...args)
        return { port, program, isFree: /^EOF$/m, speaks: () => {} }
      },
      async client(kind, port, mtu, _first, more) {
        // gnutls-cli 3.7 crashes when it is to show an ECDHE_PSK session of DTLS.
        const shown = isKeyed(kind)
          ? [...priority('+PSK'), '--pskusername', 'sensor', '--pskkey', hex]
          : ['--x509cafile', authority, '--verify-hostname', 'localhost']
        const proves = isMutual(kind)
          ? ['--x509certfile', known.cert, '--x509keyfile', known.key]
          : []
        // Its two sessions go the same way: by the proxy.
        const again = kind.resumed ? ['--resume'] : []
        const args = ['--udp', '--mtu', `${mtu}`, ...shown, ...proves, ...again, ...more]
        const program = gnutlsCli(t, port, ...args)
        return { program, isReady: /Simple Client Mode/ }
      },
      longHello: names => names.flatMap(name => ['--alpn', name]),
    },
  ]
}

/** Are their programs there? Where one is missing, this test is skipped, or fails in CI. */
export function arePresent(t: Test, makers: readonly Maker[]): boolean {
  const programs = new Set(makers.flatMap(({ programs }) => programs))
  return [...programs].every(name => requireProgram(t, name) !== undefined)
}

/** What s_client says behind the handshake. */
const READY = /Verify return code: 0/
