import { once } from 'node:events'
import { ended, host, recvBufferSize } from './sockets.mjs'

/** A client with a pre-shared key is all that it has. */
export function dialNodeDtlsClient({ identity, key }) {
  return async function dial(port, listener) {
    const { dtls } = await import('node-dtls-client')
    const socket = dtls.createSocket({
      type: 'udp4',
      recvBufferSize,
      address: host,
      port,
      psk: { [identity]: key },
      ciphers: ['TLS_PSK_WITH_AES_128_GCM_SHA256'],
      timeout: 10_000,
    })
    await once(socket, 'connected')
    socket.on('message', listener)
    return { send: message => socket.send(message), close: () => ended(socket) }
  }
}
