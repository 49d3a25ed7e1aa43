import { makeSubject } from './subjects.mjs'
import { timed } from './timed.mjs'

/** Handshakes under way at a time: a server that is busy has several, and a turn for many. */
const atATime = 8

/**
 * Makes connections: a handshake, a byte there, a byte back, close. Their CPU time is counted at the
 * server, in seconds for all of them, and at the client.
 */
export async function handshakes(task, ask) {
  const connect = makeConnect(task, ask)
  // Something to resume.
  await (await connect()).close()
  return async function work({ units }) {
    const before = await ask('cpu')
    const client = await timed(() => each(units, oneMore))
    const after = await ask('cpu')
    const server = (after.user + after.system - before.user - before.system) / 1e6
    return { units, server, client: client.cpu, wall: client.wall }
  }

  async function oneMore() {
    const client = await connect()
    if (client.resumed !== undefined && client.resumed !== task.resume) {
      throw new Error(`${task.subject}: the session was ${client.resumed ? '' : 'not '}resumed`)
    }
    await client.close()
  }
}

/** Gives a function that makes a connection which both ends have used. */
export function makeConnect(task, ask) {
  const subject = makeSubject(task)
  let samePort
  return async function connect() {
    const port = await nextPort()
    let answered
    const answer = new Promise(resolve => {
      answered = resolve
    })
    const client = await subject.dial(port, () => answered())
    client.send(Buffer.from('?'))
    await answer
    return {
      resumed: client.resumed,
      async close() {
        await client.close()
        if (subject.onePeer) await ask('release', port)
      },
    }
  }

  function nextPort() {
    if (subject.onePeer) return ask('offer')
    samePort ??= ask('offer')
    return samePort
  }
}

/** Does it so many times, several at a time. */
export async function each(units, act) {
  let left = units
  await Promise.all(
    Array.from({ length: atATime }, async () => {
      while (left > 0) {
        left -= 1
        await act()
      }
    }),
  )
}
