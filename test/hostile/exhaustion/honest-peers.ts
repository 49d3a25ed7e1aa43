/** Peers that are secured and want nothing but their echo, whatever else the server has to hear. */
import { setTimeout } from 'node:timers/promises'
import type { Test } from 'tap'
import { files } from '../../interop/files.js'
import { sClient } from '../../interop/openssl.js'
import { testIdentity } from '../../support/identities.js'
import type { Program } from '../../support/program.js'
import { datagramSocket, identified, LOOPBACK } from '../../support/secured-datagrams.js'

export interface Speaker {
  /**
   * One message and its echo. UDP loses what a flooded socket has no room for: it is said again.
   * @returns milliseconds, since it was said first
   */
  echo(): Promise<number>
  /** It goes, and says so. */
  close(): Promise<void>
}

const AGAIN = 300
const PATIENCE = 60_000

/** One of ours; it is secured with its first echo. */
export async function speaker(t: Test, port: number): Promise<Speaker> {
  // Whose handshake has made room for others' hears no word of it, and begins anew.
  const security = { ...(await identified(['client.example'])), handshakeTimeout: 5000 }
  const socket = datagramSocket(t, { security })
  let said = 0
  let heard = (_text: string) => {}
  socket.on('message', message => heard(message.toString()))
  return {
    async echo() {
      said += 1
      const text = `${said}`
      const back = new Promise<void>(resolve => {
        heard = echo => {
          if (echo === text) resolve()
        }
      })
      return await untilBack(back, () => socket.send(text, port, LOOPBACK, () => {}))
    },
    async close() {
      await socket[Symbol.asyncDispose]()
    },
  }
}

/** `openssl s_client`. */
export async function foreignSpeaker(t: Test, port: number): Promise<Speaker> {
  const { cert, key } = await testIdentity(['client.example'])
  const own = files(t)({ cert, key })
  const shown = ['-cert', own.cert, '-key', own.key]
  const client: Program = sClient(t, port, '-dtls1_2', '-quiet', ...shown)
  let said = 0
  return {
    async echo() {
      said += 1
      const line = `line ${said} of a stranger to us`
      return await untilBack(client.said(new RegExp(`^${line}$`, 'm'), PATIENCE), () =>
        client.type(`${line}\n`),
      )
    },
    async close() {
      await client.finish()
    },
  }
}

async function untilBack(back: Promise<unknown>, say: () => void): Promise<number> {
  const begun = performance.now()
  let isBack = false
  const heard = back.then(() => {
    isBack = true
  })
  for (let waited = 0; !isBack; waited += AGAIN) {
    if (waited > PATIENCE) throw new Error(`no echo within ${PATIENCE} ms`)
    say()
    await Promise.race([heard, setTimeout(AGAIN)])
  }
  return performance.now() - begun
}
