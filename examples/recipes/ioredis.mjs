// ioredis over secured sockets: it takes a class that makes its connections. Redis has TLS of its own
// (tls-port); before one that has not, put a hop (hop.mjs).
//
// const redis = new Redis({
//   host: 'cache.example.com',
//   Connector: secureConnector({ peerTargetName: 'host/cache.example.com', security }),
// })

import { AbstractConnector } from 'ioredis'
import { createConnection } from 'secure-socket/net'

/** A connector for the options of ioredis. */
export function secureConnector({ peerTargetName, security }) {
  return class extends AbstractConnector {
    constructor({ host, port, disconnectTimeout }) {
      super(disconnectTimeout)
      this.address = { host, port }
    }

    async connect() {
      this.connecting = true
      this.stream = createConnection({ ...this.address, peerTargetName, security })
      // ioredis tells this error to whoever waits for the connection.
      this.stream.once('error', error => {
        this.firstError = error
      })
      return this.stream
    }
  }
}
