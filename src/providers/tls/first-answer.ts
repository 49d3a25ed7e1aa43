/**
 * What a peer answers to a ClientHello, on a connection that is made for this question alone: the
 * very first byte decides, as it does at our server. An error of a handshake does not: OpenSSL
 * reports a TLS answer that turns into something else just like one that was never TLS.
 */
import type { Socket, TcpNetConnectOpts } from 'node:net'
import { Duplex } from 'node:stream'
import nodeTls, { type ConnectionOptions } from 'node:tls'
import { connectInClear } from '../clear-connection.js'
import { isContentType } from './content-type.js'
import { patience } from './patience.js'

// Taken now: a program that secures others by patching tls must not send us round in circles.
const tls = { ...nodeTls }

export type FirstAnswer = 'tls' | 'other' | 'none'

/**
 * Asks, and calls `done` once.
 * @returns the connection, to be destroyed by who no longer wants to know
 */
export function firstAnswer(
  netOptions: TcpNetConnectOpts,
  tlsOptions: ConnectionOptions,
  milliseconds: number,
  done: (answer: FirstAnswer) => void,
): Socket {
  let settled = false
  const raw = connectInClear(netOptions)
  const stopTimer = patience(milliseconds, () => settle('none'))
  // OpenSSL writes the ClientHello; what comes back is only looked at.
  const hello = new Duplex({
    read() {},
    write(chunk, _encoding, callback) {
      raw.write(chunk, callback)
    },
  })
  const client = tls.connect({ ...tlsOptions, socket: hello })
  client.on('error', () => {})
  hello.on('error', () => {})
  raw.on('error', () => {})
  raw.once('data', (chunk: Buffer) => settle(isContentType(chunk[0]) ? 'tls' : 'other'))
  raw.once('close', () => settle('none'))
  return raw

  function settle(answer: FirstAnswer): void {
    if (settled) return
    settled = true
    stopTimer()
    client.destroy()
    hello.destroy()
    raw.destroy()
    done(answer)
  }
}
