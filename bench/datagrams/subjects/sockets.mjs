import { once } from 'node:events'

export const host = '127.0.0.1'

/** Holds a window of the largest messages, also where the kernel counts a page for each. */
export const recvBufferSize = 256 * 1024

/** Of node:dgram and of what is shaped like it. */
export function sockets(face, { connected, channel, resume, atServer, atClient }) {
  let count = 0
  const create = options =>
    face.createSocket({ type: 'udp4', recvBufferSize, ...(channel && { channel }), ...options })
  return {
    async serve(listener) {
      const socket = create(atServer)
      socket.on('message', listener)
      socket.bind(0, host)
      await once(socket, 'listening')
      checkChannel(socket, channel)
      const { port } = socket.address()
      return {
        offer: () => port,
        send: (message, peer) => socket.send(message, peer.port, peer.address),
        close: () => ended(socket),
      }
    },
    async dial(port, listener) {
      const socket = create(atClient)
      if (listener) socket.on('message', listener)
      // Sessions belong to a target name, so a new one makes a full handshake.
      count += 1
      if (resume === false) {
        await socket.setPeerTargetName({
          address: host,
          port,
          targetName: `bench${count}/${host}`,
        })
      }
      if (connected) {
        socket.connect(port, host)
        await once(socket, 'connect')
      }
      const info = await socket.secure?.({ address: host, port })
      if (info) checkChannel(socket, channel)
      return {
        resumed: info?.resumed,
        send: connected
          ? message => socket.send(message)
          : message => socket.send(message, port, host),
        close: () => ended(socket),
      }
    },
  }
}

/** A build from before there were channels has the portable one. */
function checkChannel(socket, channel) {
  const used = socket.channel ?? 'portable'
  if (!channel || used === channel) return
  socket.close()
  throw new Error(`the channel is ${used}, not ${channel}`)
}

export function ended(socket) {
  return new Promise(resolve => socket.close(resolve))
}

/** A connected socket for each peer: what node:dgram can do at best where there are many. */
export function eachConnected(face) {
  return {
    serve: async listener => ({
      async offer() {
        const socket = face.createSocket({ type: 'udp4', recvBufferSize })
        socket.once('message', (message, { port }) => {
          socket.on('message', listener)
          socket.connect(port, host, () => listener(message, socket))
        })
        socket.bind(0, host)
        await once(socket, 'listening')
        return socket.address().port
      },
      send: (message, socket) => socket.send(message),
    }),
    dial: sockets(face, { connected: true }).dial,
  }
}
