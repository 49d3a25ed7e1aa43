// Compiled, never run: what a TypeScript user writes must keep compiling.

import type dgram from 'node:dgram'
import type net from 'node:net'
import {
  createAuthority,
  createIdentity,
  currentPeer,
  type SecureDgramSocket,
  type SecureServer,
  type SecureSocket,
  SocketSecurityError,
} from 'secure-socket'
import secureDgram, { createSocket } from 'secure-socket/dgram'
import secureNet, {
  connect as connectCallback,
  createConnection,
  createServer,
  isIP,
  Socket,
} from 'secure-socket/net'
import { connect, createSocket as createDatagrams, listen } from 'secure-socket/promises'

const authority = await createAuthority({ name: 'Example' })
const identity = await createIdentity({ authority, names: ['host/db.example.com', '127.0.0.1'] })

const server: SecureServer = createServer({ security: identity, allowHalfOpen: true }, socket => {
  const peer: SecureSocket = socket
  peer.write('hello')
  peer.impersonatePeer(() => currentPeer())
})
server.listen(0)

const socket: SecureSocket = createConnection({
  host: 'db.example.com',
  port: 5432,
  peerTargetName: 'host/db.example.com',
  security: { ca: authority.cert, minVersion: 'TLSv1.3' },
})
const info = await socket.secured
const protocol: 'tls' | 'dtls' | 'ipsec' | 'none' = info.protocol
const plain: net.Socket = new Socket()
const address: number = isIP(protocol)

socket.on('error', (error: Error) => {
  if (error instanceof SocketSecurityError && error.code === 'ERR_PEER_TARGET_NAME_MISMATCH')
    socket.destroy()
})
socket.on('data', (data: Buffer) => data.length)

secureNet.connect({ port: 5432, security: { ca: '' } }).unref()
connectCallback(5432, 'db.example.com', () => {})
const connected = await connect({ port: 5432, security: { ca: authority.cert } })
connected.end()

await using listener = await listen({ port: 0, security: identity })
for await (const accepted of listener) {
  accepted.end('hello')
  break
}

const udp: SecureDgramSocket = createSocket({ type: 'udp4', security: { ...identity, mtu: 1200 } })
udp.on('message', (message, rinfo) => [message.length, rinfo.targetName, rinfo.peer?.names])
udp.on('peerError', (error, peer) => [error.message, peer.port])
await udp.setPeerTargetName({ address: '10.0.0.5', port: 5000, targetName: 'sensor/a.example.com' })
udp.send('hello', 5000, '10.0.0.5', (_error, bytes: number) => bytes)
const plainUdp: dgram.Socket = secureDgram.createSocket('udp6', (message: Buffer) => message)
await using datagrams = createDatagrams({ type: 'udp4', security: identity })
for await (const { message, rinfo } of datagrams) {
  await datagrams.send(message, rinfo)
  break
}

export { address, plain, plainUdp }

// @ts-expect-error a setting of datagram sockets is none of streams
createConnection({ port: 1, security: { mtu: 1200 } })

// @ts-expect-error an unknown setting is an error, not a surprise
createConnection({ port: 1, security: { certificate: '' } })
