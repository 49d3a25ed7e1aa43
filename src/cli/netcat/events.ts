import type { AddressInfo } from 'node:net'
import { type SocketSecurityError, show } from '../../model/errors.js'
import { peerText } from '../../model/peer-text.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { Terminal } from '../command.js'

/** Who is at the other end. */
export interface Peer {
  readonly address: string
  readonly port: number
}

/** What connect and listen tell on stderr while they are at work. */
export interface Events {
  listening(at: AddressInfo): void
  secured(peer: Peer, info: SecurityInfo): void
  /** Somebody was not let in, which is no failure of ours. */
  refused(error: Error, peer: Peer | undefined): void
  note(text: string): void
}

/** For machines a JSON object a line; for people lines, where somebody sees them or asked for them. */
export function eventsTo(
  { stderr }: Terminal,
  { json, verbose }: { json: boolean; verbose: boolean },
): Events {
  if (json) return jsonLines(text => stderr.write(text))
  if (verbose || stderr.isTTY) return readableLines(text => stderr.write(text))
  return silent
}

/** An error as the events tell it. */
export function failedEvent(error: Error): string {
  return line({ event: 'failed', ...errorFields(error) })
}

function jsonLines(write: (text: string) => void): Events {
  return {
    listening: ({ address, port }) => write(line({ event: 'listening', address, port })),
    secured: (peer, info) => write(line({ event: 'secured', peer, ...securityFields(info) })),
    refused: (error, peer) => write(line({ event: 'refused', peer, ...errorFields(error) })),
    note: text => write(line({ event: 'note', text })),
  }
}

function readableLines(write: (text: string) => void): Events {
  const at = (peer: Peer | undefined) => (peer ? peerText(peer.address, peer.port) : 'a peer')
  return {
    listening: ({ address, port }) => write(`listening on ${peerText(address, port)}\n`),
    secured: (peer, info) => write(`${at(peer)} ${inWords(info)}\n`),
    refused: (error, peer) => write(`${at(peer)} was refused: ${error.message}\n`),
    note: text => write(`${text}\n`),
  }
}

const silent: Events = { listening() {}, secured() {}, refused() {}, note() {} }

function inWords({ version, protocol, cipher, peer }: SecurityInfo): string {
  const by = `${version ?? protocol}${cipher === undefined ? '' : ` (${cipher})`}`
  // Names come from the peer's certificate: nothing in them may act on a terminal.
  const names = peer?.names.length ? peer.names.map(show).join(', ') : undefined
  const psk = peer?.pskIdentity === undefined ? undefined : `the key ${show(peer.pskIdentity)}`
  return `is secured by ${by} and has proved: ${names ?? psk ?? peer?.pin ?? 'nothing'}`
}

function securityFields(info: SecurityInfo): object {
  const { secured, encrypted, protocol, version, cipher, alpn, resumed, expires, peer } = info
  const { targetName, names, pin, pskIdentity, user, machine } = peer ?? {}
  const identity = peer && { targetName, names, pin, pskIdentity, user, machine }
  return { secured, encrypted, protocol, version, cipher, alpn, resumed, expires, identity }
}

function errorFields(error: Error): object {
  const { code, message } = error as SocketSecurityError
  return { code, message }
}

function line(event: object): string {
  return `${JSON.stringify(event)}\n`
}
