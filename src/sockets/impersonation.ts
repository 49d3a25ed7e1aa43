/**
 * Acting as the peer (Winsock's WSAImpersonateSocketPeer): what runs inside, and everything that it
 * starts, sees the peer as `currentPeer()`; access checks can ask it instead of passing the peer
 * along. It always reverts, because an asynchronous context cannot leak out of its function.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { PeerIdentity } from '../model/peer-identity.js'

const peers = new AsyncLocalStorage<PeerIdentity>()

/** Runs `fn` as the peer and returns what it returns. */
export function runAs<T>(peer: PeerIdentity, fn: () => T): T {
  return peers.run(peer, fn)
}

/** Who the code that calls this acts for; undefined outside of impersonatePeer(). */
export function currentPeer(): PeerIdentity | undefined {
  return peers.getStore()
}
