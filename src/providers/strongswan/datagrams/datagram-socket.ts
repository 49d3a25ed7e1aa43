/**
 * A datagram socket on Linux whose port is guarded from before it can send: what the IKE daemon does
 * not secure is dropped by the kernel, in both directions. Each peer has a flow of its own.
 */
import { constants } from 'node:os'
import { duplicate } from '../../../../lib/linux-descriptors.js'
import * as linux from '../../../../lib/linux-sockets.js'
import { systemError } from '../../../channels/batch/system-error.js'
import { SocketSecurityError } from '../../../model/errors.js'
import { peerText } from '../../../model/peer-text.js'
import type { SecurityInfo } from '../../../model/security-info.js'
import type { ParsedSettings } from '../../../model/settings.js'
import type { TargetName } from '../../../model/target-name.js'
import type {
  NativeBinding,
  NativeDatagramRequest,
  NativeDatagramSocket,
  NativeWaiting,
  NativeWatcher,
  PeerAddress,
} from '../../datagram-provider.js'
import type { Daemon, Guard, Listener } from '../daemon/daemon.js'
import { checkNotLinkLocal, checkNotOwn, isUnspecified, plainAddress } from '../host/addresses.js'
import { type LinuxSocket, makeSocket } from '../host/linux-socket.js'
import { sourceAddress } from '../host/source-address.js'
import {
  ANYBODY,
  canListen,
  flowConnection,
  listenerConnections,
} from '../plans/connection-plan.js'
import { ikeIdentity, provesIdentity } from '../plans/identities.js'
import { peerIdentity } from '../plans/peer.js'
import type { Association, ConnectionPlan, FiveTuple, FlowPlan } from '../plans/plans.js'
import { notSecured, securityInfo } from '../plans/security-info.js'
import { bindDatagrams, drain, lingers } from './datagram-port.js'
import { PeerFlows } from './peer-flows.js'
import { PeerNames } from './peer-names.js'
import { Proofs, wrongAssociation } from './proofs.js'
import { Stillness } from './stillness.js'

/** Milliseconds before keys are replaced at which those of a deleted name end (R21). */
const BEFORE_REKEY = 2000

export class DatagramSocket implements NativeDatagramSocket {
  readonly #socket: LinuxSocket
  readonly #settings: ParsedSettings
  readonly #daemon: Daemon
  readonly #flows: PeerFlows
  readonly #stillness: Stillness
  readonly #names = new PeerNames()
  readonly #proofs: Proofs
  #bound: PeerAddress | undefined
  #guard: Guard | undefined
  #listener: Listener | undefined
  /** By which strangers may come. */
  #accepted: readonly ConnectionPlan[] = []
  #watcher: NativeWatcher | undefined
  #unwatch: (() => void) | undefined
  #isClosed = false

  /** @throws a system error */
  constructor({ family, settings }: NativeDatagramRequest, daemon: Daemon) {
    this.#settings = settings
    this.#daemon = daemon
    this.#flows = new PeerFlows(daemon)
    this.#socket = makeSocket('datagram', family)
    this.#proofs = new Proofs({
      find: (address, port) => this.#find(address, port),
      lost: (error, { address, port }) => this.#watcher?.peerLost(error, address, port),
    })
    this.#stillness = new Stillness(daemon, {
      began: error => {
        this.#proofs.clear()
        this.#watcher?.allLost(error)
      },
      // What came meanwhile may have come in clear.
      ends: () => {
        if (this.#socket.alive()) drain(this.descriptor)
        // A daemon that was killed and started again knows of no keys, and tells of the end of none.
        this.#proofs.doubt()
      },
    })
  }

  get descriptor(): number {
    return this.#socket.descriptor
  }

  discard(): void {
    this.#socket.discard()
  }

  adopted(alive: () => boolean): void {
    this.#socket.adopted(alive)
  }

  watch(watcher: NativeWatcher): void {
    this.#watcher = watcher
  }

  async bind(to: NativeBinding): Promise<void> {
    this.#bound = await this.#boundTo(to)
    const { port } = this.#bound
    const undo: (() => Promise<void>)[] = []
    try {
      const guard = await this.#daemon.guard('udp', port, this.#ownAddress())
      undo.push(() => guard.release())
      this.#checkWanted(to.signal)
      drain(this.descriptor)
      const listener = to.acceptsStrangers ? await this.#listen(to.ipv6Only) : undefined
      undo.push(async () => listener?.remove())
      this.#checkWanted(to.signal)
      this.#guard = guard
      this.#listener = listener
      this.#stillness.watch(guard)
      this.#unwatch = this.#daemon.watch({
        changed: change => {
          const { transport, localPort } = change.flow
          if (transport === 'udp' && (localPort === port || localPort === 0))
            this.#proofs.changed(change)
        },
      })
    } catch (error) {
      for (const step of undo.reverse()) await step()
      throw error
    }
  }

  /** Where it is bound: perhaps since before, when it could not be guarded. The kernel binds a socket once. */
  async #boundTo(to: NativeBinding): Promise<PeerAddress> {
    const bound = this.#bound
    if (bound === undefined) return await bindDatagrams(this.#socket, to)
    const isThere = bound.address === to.address && (to.port === 0 || to.port === bound.port)
    if (!isThere) throw systemError(-constants.errno.EINVAL, 'bind', to)
    return bound
  }

  #checkWanted(signal: AbortSignal): void {
    if (signal.aborted || this.#isClosed)
      throw new SocketSecurityError('ECANCELED', 'the socket was closed while it was being bound')
  }

  /** Whoever is trusted may speak first, where anybody can be. */
  async #listen(ipv6Only: boolean): Promise<Listener | undefined> {
    if (!canListen(this.#settings)) return undefined
    const { address, port } = this.#bound as PeerAddress
    this.#accepted = listenerConnections(this.#settings)
    return await this.#daemon.addListener({
      transport: 'udp',
      localAddress: this.#ownAddress() ?? address,
      localPort: port,
      ipv6Only,
      connections: this.#accepted,
    })
  }

  /** The one address that it is bound to; undefined where it is bound to all of them. */
  #ownAddress(): string | undefined {
    const address = this.#bound?.address ?? ''
    return isUnspecified(address) ? undefined : plainAddress(address)
  }

  async setTargetName(
    address: string,
    port: number,
    name: TargetName,
    isSet: boolean,
  ): Promise<void> {
    ikeIdentity(name, this.#settings)
    this.#names.set(peerText(address, port), { name, isSet })
  }

  /** Who is secured by it stays so until the keys would be replaced (R21). */
  async deleteTargetName(address: string, port: number): Promise<void> {
    const key = peerText(address, port)
    const proof = this.#proofs.get(key)
    if (proof === undefined) {
      this.#names.delete(key)
      this.#flows.remove(key)
      return
    }
    const rekeyAt = proof.rekeyAfter?.getTime() ?? Date.now() + this.#settings.rekeyAfter
    const call = () => {
      this.forget(address, port)
      this.#watcher?.peerLost(undefined, address, port)
    }
    this.#names.delete(key, { after: rekeyAt - Date.now() - BEFORE_REKEY, call })
  }

  /** The kernel connects a socket only to where a policy lets it send. */
  async beforeConnect(address: string, port: number): Promise<void> {
    const plan = this.#plan(address, port)
    if (!(await this.#isSecured(plan))) await this.#flows.get(peerText(address, port), plan)
  }

  async secure(address: string, port: number, { timeout, signal }: NativeWaiting): Promise<void> {
    const end = performance.now() + timeout
    const remaining = () => Math.max(1, end - performance.now())
    for (;;) {
      await this.#stillness.over(remaining(), signal)
      const plan = this.#plan(address, port)
      if (await this.#isSecured(plan)) return
      try {
        const flow = await this.#flows.get(peerText(address, port), plan)
        await flow.initiate({ timeout: remaining(), signal })
        return
      } catch (error) {
        if (signal.aborted) throw error
        // Where the daemon went away in the middle of it: again, when it is back.
        if (this.#stillness.reason() !== undefined) continue
        // The peer has begun it too, or a packet of ours: then that is what counts.
        if (await this.#isSecured(plan)) return
        throw error
      }
    }
  }

  /** By keys that the peer has asked for, or that were asked for before. */
  async #isSecured(plan: FlowPlan): Promise<boolean> {
    const admitted = [plan.connection, ...this.#accepted]
    const association = await this.#daemon.find(plan, admitted)
    if (association === null) return false
    const peer = peerText(plan.remoteAddress, plan.remotePort)
    const wrong = wrongAssociation(association, plan.connection.remoteId, peer)
    if (wrong) throw wrong
    return true
  }

  /** To whoever must prove the name of that peer. */
  #plan(address: string, port: number): FlowPlan {
    const peer = peerText(address, port)
    const named = this.#names.get(peer)
    if (named === undefined)
      throw new SocketSecurityError('EPROTO', `${peer} has no name that it could prove`, { peer })
    const connection = flowConnection(this.#settings, named.name, named.isSet)
    return { ...this.#flowTo(address, port), connection }
  }

  /** @throws a system error where there is no route; SocketSecurityError EOPNOTSUPP to this host itself */
  #flowTo(address: string, port: number): FiveTuple {
    checkNotLinkLocal(address, port)
    const source = routeTo(address, port)
    const localAddress = this.#ownAddress() ?? source
    const remoteAddress = plainAddress(address)
    checkNotOwn(remoteAddress, localAddress, port)
    const localPort = (this.#bound as PeerAddress).port
    return { transport: 'udp', localAddress, localPort, remoteAddress, remotePort: port }
  }

  async query(address: string, port: number): Promise<SecurityInfo> {
    const interruption = this.#stillness.reason()
    if (interruption) throw interruption
    const key = peerText(address, port)
    const association = await this.#find(address, port)
    if (association === null) {
      this.#proofs.delete(key)
      return notSecured
    }
    const { remoteId } = association
    const connection = this.#wanted(key) ?? connectionFor(remoteId, this.#accepted)
    const wrong = wrongAssociation(association, connection?.remoteId ?? ANYBODY, key)
    if (wrong) throw wrong
    if (connection === undefined) return notSecured
    this.#proofs.set(key, { address, port }, association)
    const name = this.#names.get(key)?.name
    return securityInfo(association, peerIdentity(remoteId, connection.credential, name))
  }

  /** What secures that peer, by whichever connection it may have come. */
  async #find(address: string, port: number): Promise<Association | null> {
    const wanted = this.#wanted(peerText(address, port))
    const admitted = wanted === undefined ? this.#accepted : [wanted, ...this.#accepted]
    return await this.#daemon.find(this.#flowTo(address, port), admitted)
  }

  /** The connection to the name of that peer, or to one that was deleted while it was secured by it. */
  #wanted(key: string): ConnectionPlan | undefined {
    const named = this.#names.get(key)
    if (named === undefined) return this.#flows.connectionOf(key)
    return flowConnection(this.#settings, named.name, named.isSet)
  }

  forget(address: string, port: number): void {
    const key = peerText(address, port)
    this.#proofs.delete(key)
    this.#flows.remove(key)
  }

  interruption(address: string): Error | undefined {
    return this.#stillness.reason(plainAddress(address))
  }

  /**
   * ESP for a port without a socket would be answered by the kernel with an ICMP error, in clear, that
   * has the beginning of what came in it. So the keys go before the socket does, and the guard last.
   */
  closing(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const kept = duplicate(this.descriptor)
    this.#socket.closing()
    this.#unwatch?.()
    this.#names.close()
    this.#stillness.close()
    lingers(this.#end(kept))
  }

  async #end(kept: number): Promise<void> {
    await Promise.all([this.#flows.close(), this.#listener?.remove()])
    if (kept >= 0) linux.close(kept)
    await this.#guard?.release()
  }
}

/** @throws SocketSecurityError EOPNOTSUPP for a broadcast address or a forbidden one; a system error where there is no route */
function routeTo(address: string, port: number): string {
  try {
    return sourceAddress(address)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error
    const peer = peerText(address, port)
    throw new SocketSecurityError(
      'EOPNOTSUPP',
      `${peer} is a broadcast address, or the host's routes prohibit it: a secured datagram goes to one peer that has been authenticated; see ip route get ${address}`,
      { peer, cause: error },
    )
  }
}

/** The one for just that identity, or one for whoever is trusted. */
function connectionFor(
  remoteId: string,
  connections: readonly ConnectionPlan[],
): ConnectionPlan | undefined {
  const own = connections.find(
    each => each.remoteId !== ANYBODY && provesIdentity(remoteId, each.remoteId),
  )
  return own ?? connections.find(each => each.remoteId === ANYBODY)
}
