/**
 * Whom the peers of a datagram socket have proved to be, as long as that holds: another one who comes
 * from the same address with keys of its own is not believed to be the same.
 */

import type { SocketSecurityError } from '../../../model/errors.js'
import { peerText } from '../../../model/peer-text.js'
import type { PeerAddress } from '../../datagram-provider.js'
import type { FlowChange } from '../daemon/daemon.js'
import { plainAddress } from '../host/addresses.js'
import { exchangedPeer, wrongPeer } from '../plans/peer.js'
import type { Association } from '../plans/plans.js'

interface Proof {
  readonly peer: PeerAddress
  readonly plainAddress: string
  readonly remoteId: string
  readonly rekeyAfter: Date | undefined
}

export interface ProofsObserver {
  find(address: string, port: number): Promise<Association | null>
  /** @param error undefined where the keys have only ended */
  lost(error: Error | undefined, peer: PeerAddress): void
}

export class Proofs {
  readonly #observer: ProofsObserver
  readonly #proofs = new Map<string, Proof>()

  constructor(observer: ProofsObserver) {
    this.#observer = observer
  }

  get(key: string): Proof | undefined {
    return this.#proofs.get(key)
  }

  set(key: string, peer: PeerAddress, { remoteId, rekeyAfter }: Association): void {
    const { address } = peer
    this.#proofs.set(key, { peer, plainAddress: plainAddress(address), remoteId, rekeyAfter })
  }

  delete(key: string): void {
    this.#proofs.delete(key)
  }

  clear(): void {
    this.#proofs.clear()
  }

  /** Keys of the socket's port have come or gone. */
  changed({ flow, remoteId, up }: FlowChange): void {
    const { remoteAddress, remotePort } = flow
    for (const [key, proof] of this.#concerned(remoteAddress, remotePort)) {
      if (up) {
        if (remoteId !== proof.remoteId) this.#exchanged(key, proof, remoteId)
      } else this.#find(key, proof).catch(error => this.#lost(key, proof, error as Error))
    }
  }

  /** Looks at all of them again: something may have happened that nobody has told. */
  doubt(): void {
    for (const [key, proof] of [...this.#proofs])
      this.#find(key, proof).catch(error => this.#lost(key, proof, error as Error))
  }

  #concerned(address: string, port: number): [string, Proof][] {
    const exact = peerText(address, port)
    const proof = this.#proofs.get(exact)
    if (proof !== undefined) return [[exact, proof]]
    return [...this.#proofs].filter(
      ([, { plainAddress, peer }]) =>
        plainAddress === address && (port === 0 || port === peer.port),
    )
  }

  #exchanged(key: string, proof: Proof, remoteId: string): void {
    this.#lost(key, proof, exchangedPeer(remoteId, proof.remoteId, key))
  }

  /** Some have gone; there may be others. */
  async #find(key: string, proof: Proof): Promise<void> {
    const { address, port } = proof.peer
    const association = await this.#observer.find(address, port)
    if (association === null) this.#lost(key, proof, undefined)
    else if (association.remoteId !== proof.remoteId)
      this.#exchanged(key, proof, association.remoteId)
  }

  #lost(key: string, proof: Proof, error: Error | undefined): void {
    if (this.#proofs.get(key) !== proof) return
    this.#proofs.delete(key)
    this.#observer.lost(error, proof.peer)
  }
}

/**
 * Why what secures a flow is not enough.
 * @param wanted the identity that the peer must have; `%any` for whoever is trusted and has a name
 */
export function wrongAssociation(
  { remoteId, demandedId }: Association,
  wanted: string,
  peer: string,
): SocketSecurityError | undefined {
  // The daemon itself was told whom to demand, which says more than the text that it prints.
  if (wanted !== '%any' && demandedId === wanted) return undefined
  return wrongPeer(remoteId, wanted, peer)
}
