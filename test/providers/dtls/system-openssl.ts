/** A handshake with the system's OpenSSL, beside the one of Node that is hidden from the loader. */
import type { LibraryHandle } from '../../../lib/koffi.js'
import { loadKoffi } from '../../../lib/koffi.js'
import { openssl } from '../../../src/providers/dtls/openssl.js'
import { handshake, say } from './pair.js'

const koffi = loadKoffi()
const { load } = koffi
const hidden = {
  func() {
    throw new Error('hidden')
  },
}
koffi.load = (path, options) =>
  path === null ? (hidden as unknown as LibraryHandle) : load(path, options)

const key = Buffer.alloc(16, 1)
const { client, server } = handshake({
  client: { psk: { identity: 'me', key } },
  server: { psk: { me: key } },
})
const heard = [say(client, server, 'question'), say(server, client, 'answer')]
console.log(`${openssl().version}: ${heard.join(', ')}`)
