'use strict'

// Run as a test is, before the tests: it fails where a connection of `net` or `http`, or a datagram
// of `dgram`, is not secured, so that no run can pass by testing node's own modules twice. The other
// end of each connection is node:tls itself; that of the datagram is node's own socket, which looks.

const assert = require('node:assert')
const dgram = require('node:dgram')
const { once } = require('node:events')
const { readFileSync } = require('node:fs')
const http = require('node:http')
const https = require('node:https')
const net = require('node:net')
const tls = require('node:tls')

const { server: identity, client: trust } = JSON.parse(
  readFileSync(process.env.CONFORMANCE_POLICY, 'utf8'),
)

main().then(() => process.exit(0))

async function main() {
  await netServer()
  await netClient()
  await httpServer()
  await httpClient()
  await datagram()
}

async function netServer() {
  const server = net.createServer(socket => socket.end('secured'))
  const [data] = await once(tls.connect({ ...trust, port: await listening(server) }), 'data')
  assert.strictEqual(String(data), 'secured')
}

async function netClient() {
  const server = tls.createServer(identity, socket => socket.end('secured'))
  const [data] = await once(net.connect(await listening(server)), 'data')
  assert.strictEqual(String(data), 'secured')
}

async function httpServer() {
  const server = http.createServer((_request, response) => response.end())
  const request = https.get({ ...trust, port: await listening(server) })
  const [response] = await once(request, 'response')
  assert.strictEqual(response.statusCode, 200)
}

async function httpClient() {
  const server = https.createServer(identity, (_request, response) => response.end())
  const [response] = await once(http.get({ port: await listening(server) }), 'response')
  assert.strictEqual(response.statusCode, 200)
}

/** A socket that nothing secures gets a ClientHello, and not the message. */
async function datagram() {
  const { port, received } = rawSocket()
  const socket = dgram.createSocket('udp4')
  socket.send('not secured', port, '127.0.0.1')
  const data = await received
  assert.strictEqual(data.readUInt8(0), 22, 'a record of a handshake (RFC 6347, section 4.1)')
  assert.strictEqual(data.readUInt8(1), 254, 'of DTLS')
  assert(!data.includes('not secured'))
  console.log(`datagrams travel by the ${socket.channel} channel`)
}

/** Under dgram, which may be patched: what the network brings, as it is. */
function rawSocket() {
  const { UDP } = process.binding('udp_wrap')
  const handle = new UDP()
  assert.strictEqual(handle.bind('127.0.0.1', 0, 0), 0)
  const address = {}
  handle.getsockname(address)
  const received = new Promise(resolve => {
    handle.onmessage = (_size, _handle, data) => resolve(Buffer.from(data))
  })
  handle.recvStart()
  return { port: address.port, received }
}

async function listening(server) {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return server.address().port
}
