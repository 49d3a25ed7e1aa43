/**
 * The security of a connection in one line, for logs, for NODE_DEBUG, and for console.log: who the
 * peer is, and what protects the bytes. Never a secret; and nothing in it that a terminal or a log
 * would act on, whatever a peer calls itself.
 */
import { inspect } from 'node:util'
import { printable } from './errors.js'
import type { PeerIdentity } from './peer-identity.js'
import type { SecurityInfo } from './security-info.js'

/** Of a certificate with very many names these tell enough. */
const NAMES = 3

/** What to call a peer: the name that it had to prove, else those that it has proved. */
export function peerName(peer: PeerIdentity | undefined): string {
  if (peer === undefined) return 'unknown'
  const { targetName, pskIdentity, names, user, machine, pin } = peer
  const certified = [...names.slice(0, NAMES), ...(names.length > NAMES ? ['…'] : [])].join(', ')
  const account = user ?? machine
  const name = targetName ?? pskIdentity ?? (certified || (account?.name ?? account?.sid) || pin)
  return printable(name ?? 'unknown')
}

/** `full handshake, TLSv1.3 TLS_AES_256_GCM_SHA384, peer host/db.example.com` */
export function securityText(info: SecurityInfo): string {
  if (!info.secured) return 'in clear'
  const how = info.protocol === 'ipsec' ? 'by the system' : handshakeText(info)
  return [how, protectionText(info), `peer ${peerName(info.peer)}`].join(', ')
}

/** `TLSv1.3 TLS_AES_256_GCM_SHA384` */
export function protectionText({ protocol, version, cipher, encrypted }: SecurityInfo): string {
  const by = [version ?? protocol, ...(cipher === undefined ? [] : [cipher])].join(' ')
  return encrypted ? by : `${by}, authenticated but not encrypted`
}

function handshakeText({ resumed }: SecurityInfo): string {
  return resumed ? 'resumed' : 'full handshake'
}

/** The same object, which console.log shows in one line. Its fields, and how it compares, stay as they are. */
export function shownAsSecurity<T extends SecurityInfo>(info: T): T {
  return shown(info, 'SecurityInfo', ({ alpn, expires }) =>
    [
      securityText(info),
      ...(alpn === undefined ? [] : [`alpn ${printable(alpn)}`]),
      ...(expires === undefined ? [] : [`until ${timeText(expires)}`]),
    ].join(', '),
  )
}

/** The same object, shown by its name, and by the pin of its key. */
export function shownAsPeer<T extends PeerIdentity>(peer: T): T {
  return shown(peer, 'PeerIdentity', ({ pin }) =>
    [peerName(peer), ...(pin === undefined || pin === peer.targetName ? [] : [pin])].join(', '),
  )
}

function timeText(time: Date): string {
  return Number.isNaN(time.getTime()) ? 'an unknown time' : time.toISOString()
}

/** Not enumerable: a copy of the fields is shown as the object that it is. */
function shown<T extends object>(value: T, name: string, text: (value: T) => string): T {
  return Object.defineProperty(value, inspect.custom, {
    value(this: T, _depth: number, { stylize }: { stylize(text: string, style: string): string }) {
      return stylize(`${name} <${text(this)}>`, 'special')
    },
    configurable: true,
    writable: true,
  })
}
