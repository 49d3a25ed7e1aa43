/** Somebody who passes other datagrams on than he was given. */
import type { Test } from 'tap'
import { bound } from '../../support/udp-tap.js'
import type { Direction } from '../streams/tcp-proxy.js'

/** What is passed on in the place of a datagram. */
export type Exchange = (datagram: Buffer, direction: Direction) => Buffer[]

/** Stands before the server at `serverPort` on 127.0.0.1, for one client, until the end of the test. */
export async function udpMiddle(
  t: Test,
  serverPort: number,
  exchange: Exchange,
): Promise<{ port: number }> {
  const [front, back] = [await bound(), await bound()]
  for (const socket of [front, back]) t.teardown(() => socket.close())
  let clientPort = 0
  front.on('message', (datagram, { port }) => {
    clientPort = port
    for (const each of exchange(datagram, 'toServer')) back.send(each, serverPort, '127.0.0.1')
  })
  back.on('message', datagram => {
    for (const each of exchange(datagram, 'toClient')) front.send(each, clientPort, '127.0.0.1')
  })
  return { port: front.address().port }
}
