/** Settings that this Windows takes, for questions that are about something else. */
import { setSecurity } from './calls.js'
import { close, newSocket } from './sockets.js'
import { settings, settingsIpsec } from './variants.js'

let found: Promise<Buffer> | undefined

/** What the library sends, or else what is taken in its place. */
export function usableSettings(): Promise<Buffer> {
  found ??= find()
  return found
}

async function find(): Promise<Buffer> {
  const library = settingsIpsec('IPSEC')
  for (const bytes of [library, settingsIpsec('IPSEC2'), settings('DEFAULT')]) {
    const socket = newSocket('stream', { address: '127.0.0.1' })
    const { error } = await setSecurity(socket, bytes)
    close(socket)
    if (error === 0) return bytes
  }
  return library
}
