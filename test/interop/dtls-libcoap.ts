/** libcoap's programs as the foreign end: the builds on OpenSSL and on GnuTLS. */
import dgram from 'node:dgram'
import { generate, parse } from 'coap-packet'
import type { Test } from 'tap'
import { event } from '../support/events.js'
import { launch, type Program } from '../support/program.js'

/** What its DTLS is made by: each build is a program of its own. */
export const builds = ['openssl', 'gnutls'] as const
export type Build = (typeof builds)[number]

export interface CoapServer {
  /** The port of DTLS. */
  readonly port: number
  readonly program: Program
}

/** `coap-server` on a port of 127.0.0.1. It keeps what is PUT to /example_data. */
export async function coapServer(t: Test, build: Build, ...args: string[]): Promise<CoapServer> {
  // It cannot choose a port, needs the next one too, and takes both for TCP as well.
  for (let attempt = 1; ; attempt += 1) {
    const plain = await freePort()
    const place = ['-A', '127.0.0.1', '-p', String(plain), '-v', '7']
    // It keeps back what it says while nobody looks at a terminal.
    const program = launch(t, 'stdbuf', [
      '--output=L',
      `coap-server-${build}`,
      ...[...place, ...args],
    ])
    const [said] = await program.said(/created TLS +endpoint|bind: .*|cannot .*/)
    if (said.startsWith('created')) return { port: plain + 1, program }
    await program.stop()
    if (attempt === 5) throw new Error(program.output)
  }
}

/** `coap-client` with one request to a port of 127.0.0.1; it gives up after a few seconds. */
export function coapClient(
  t: Test,
  build: Build,
  port: number,
  path: string,
  ...args: string[]
): Program {
  const uri = `coaps://127.0.0.1:${port}/${path}`
  return launch(t, 'stdbuf', [
    '--output=L',
    `coap-client-${build}`,
    ...['-v', '6', '-B', '3', ...args, uri],
  ])
}

/** The answer that `coap-client` shows. */
export const coapAnswer = /t:ACK c:(\d\.\d\d) .*:: '(.*)'/

/** A confirmable request. */
export function coapRequest(code: 'GET' | 'PUT', path: string, payload = ''): Buffer {
  requests += 1
  return generate({
    code,
    confirmable: true,
    messageId: requests,
    token: Buffer.from([requests]),
    options: [{ name: 'Uri-Path', value: Buffer.from(path) }],
    payload: Buffer.from(payload),
  })
}

let requests = 0

/** The answer to a request: what was asked for. */
export function coapResponse(message: Buffer): Buffer {
  const { options, messageId, token, payload } = parse(message)
  const path = options.filter(({ name }) => name === 'Uri-Path').map(({ value }) => String(value))
  return generate({
    code: '2.05',
    ack: true,
    messageId,
    token,
    payload: Buffer.from(`/${path.join('/')} ${payload}`),
  })
}

async function freePort(): Promise<number> {
  const socket = dgram.createSocket('udp4').bind(0, '127.0.0.1')
  await event(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  await event(socket, 'close')
  return port
}
