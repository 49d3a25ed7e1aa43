// The work that is timed. Each prepares itself and gives a function that does `units` of it.

import { once } from 'node:events'
import { pairs } from './pair.mjs'

export const writeSize = 64 * 1024
const messageSize = 16

/** One direction, writes of 64 KiB, as fast as backpressure lets them. */
export async function bulk(subject) {
  const open = await pairs(subject)
  const { client, atServer } = await open()
  const chunk = Buffer.alloc(writeSize, 'bulk')
  let missing = 0
  let done
  atServer.on('data', data => {
    missing -= data.length
    if (missing === 0) done()
  })

  return units =>
    new Promise(resolve => {
      done = resolve
      missing = units * writeSize
      let left = units
      fill()

      function fill() {
        while (left > 0) {
          left -= 1
          if (!client.write(chunk)) return void client.once('drain', fill)
        }
      }
    })
}

/** 16 bytes there, 16 bytes back, one at a time. */
export async function pingpong(subject) {
  const open = await pairs(subject)
  const { client, atServer } = await open()
  const message = Buffer.alloc(messageSize, 'ping')
  let left = 0
  let done
  atServer.on('data', data => atServer.write(data))
  client.on('data', data => {
    if (data.length !== messageSize) throw new Error('a message came in parts')
    left -= 1
    if (left > 0) client.write(message)
    else done()
  })

  return units =>
    new Promise(resolve => {
      done = resolve
      left = units
      client.write(message)
    })
}

/** Connect, a byte there, a byte back, close; one after the other. */
export async function connections(subject) {
  const open = await pairs(subject)
  return async units => {
    for (let i = 0; i < units; i++) {
      const { client, atServer } = await open()
      const closed = Promise.all([once(client, 'close'), once(atServer, 'close')])
      await exchange(client, atServer)
      client.end()
      atServer.end()
      await closed
    }
  }
}

/** A byte there and a byte back: both ends have all that a connection in use has. */
export async function exchange(client, atServer) {
  atServer.once('data', data => atServer.write(data))
  client.write('?')
  await once(client, 'data')
  // What comes now is the end.
  client.resume()
  atServer.resume()
}
