/**
 * The endpoint of one socket: it finds the peer of each datagram, keeps strangers out until they
 * have shown that they receive at their address, and wakes each peer in time. Sans-I/O.
 */

import { SocketSecurityError, show } from '../../model/errors.js'
import { peerText } from '../../model/peer-text.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { ParsedSettings } from '../../model/settings.js'
import type { TargetName } from '../../model/target-name.js'
import { Counters } from '../datagram-counters.js'
import {
  type Clock,
  type DatagramEndpoint,
  type DropReason,
  type EndpointObserver,
  type EndpointRequest,
  type EndpointStats,
  MAX_MESSAGE_BYTES,
  type Outbox,
  type PeerAddress,
  type PeerStats,
  type SendCallback,
} from '../datagram-provider.js'
import type { QueueTotals } from '../datagrams/message-queue.js'
import { canonicalAddress } from '../datagrams/peer-key.js'
import { checkUncommitted, TargetNames } from '../datagrams/target-names.js'
import { Timers } from '../datagrams/timers.js'
import { following } from '../live-settings.js'
import { ticketKeysOf } from '../ticket-keys.js'
import { Association } from './association.js'
import type { AssociationOptions } from './association-options.js'
import { type ClientHello, parseClientHello } from './client-hello.js'
import { dtlsContext } from './context.js'
import {
  AMPLIFICATION_LIMIT,
  type Cookies,
  createCookies,
  HELLO_VERIFY_REQUEST_LENGTH,
} from './cookie.js'
import { ownCookieSecrets, sharedCookieSecrets } from './cookie-secrets.js'
import { checkServerKeys, hasServerCredentials } from './credentials.js'
import { PLACE_KEPT } from './lifetimes.js'
import { Peer } from './peer.js'
import type { Host, PeerContext } from './peer-context.js'
import { epochOf, hasKnownType, recordEnd } from './records.js'
import { warnOfSilence } from './silent-server.js'
import { tell, tellDropped } from './story.js'
import { WorkBudget } from './work-budget.js'

/** Makes the associations; a test can watch over them. */
export type Associate = (options: AssociationOptions) => Association

/** Other spellings of one address that are remembered. */
const SPELLING_LIMIT = 8

/** An address as it is remembered, with all the ways in which it has been written. */
interface KnownHost extends Host {
  readonly spellings: string[]
  /** What one subscriber has: an IPv4 address, or 64 bits of an IPv6 one. */
  readonly network: string
}

export class DtlsEndpoint implements DatagramEndpoint, PeerContext {
  acceptsStrangers = false
  settings: ParsedSettings
  readonly clock: Clock
  readonly observer: EndpointObserver & Outbox
  readonly names: TargetNames
  readonly timers = new Timers<Peer>()
  readonly budget: WorkBudget
  readonly totals = new Counters()
  readonly queued: QueueTotals = { datagrams: 0, bytes: 0 }
  canServe: boolean

  readonly #settingsNow: () => ParsedSettings
  readonly #associate: Associate
  readonly #cookies: Cookies
  /** By every spelling that has been met. */
  readonly #hosts = new Map<string, KnownHost>()
  #peerCount = 0
  /** How many peers each network has. */
  readonly #networks = new Map<string, number>()
  /** Those that began, the oldest first, until it is seen that they are more than that. */
  readonly #strangers = new Set<Peer>()
  readonly #strangersOf = new Map<string, Set<Peer>>()
  /** Whom a datagram came from or went to last: the next one is often of the same. */
  #latest: Peer | undefined
  #cookiesSent = 0
  /** The next portion of waiting work is being done. */
  #working = false
  #closed = false
  /** The datagram that is being received has been answered with a cookie. */
  #challenged = false

  /** @throws SocketSecurityError EINVAL, EPROTO, ENOCREDENTIAL for settings that cannot be used */
  constructor(
    { current, clock, chooseName }: EndpointRequest,
    observer: EndpointObserver & Outbox,
    associate: Associate = options => new Association(options),
  ) {
    // What OpenSSL cannot use is found out now and not at the first peer: a server would be silent.
    this.#settingsNow = following<ParsedSettings>(current, checkUsable)
    const settings = this.#settingsNow()
    this.settings = settings
    this.names = new TargetNames(chooseName)
    this.clock = clock
    this.observer = observer
    this.#associate = associate
    this.budget = new WorkBudget(() => clock.now())
    const own = ownCookieSecrets(() => clock.now())
    const shared = sharedCookieSecrets(clock)
    this.#cookies = createCookies(() => {
      const ticketKeys = ticketKeysOf(this.settings)
      return ticketKeys === undefined ? own() : shared(ticketKeys)
    })
    this.canServe = hasServerCredentials(settings)
  }

  settingsNow(): ParsedSettings {
    const settings = this.#settingsNow()
    if (settings !== this.settings) {
      this.settings = settings
      this.canServe = hasServerCredentials(settings)
    }
    return settings
  }

  receive(datagrams: Buffer, address: string, port: number, segment = datagrams.length): void {
    if (segment >= datagrams.length) {
      this.#receiveOne(datagrams, address, port)
      return
    }
    let offset = 0
    while (segment > 0 && offset < datagrams.length) {
      const next = this.#receiveRun(datagrams, offset, segment, address, port)
      if (next > offset) {
        offset = next
        continue
      }
      this.#receiveOne(datagrams.subarray(offset, offset + segment), address, port)
      offset += segment
    }
  }

  #receiveOne(datagram: Buffer, address: string, port: number): void {
    if (this.#closed) return
    this.#challenged = false
    try {
      const peer = this.#findPeer(address, port)
      if (peer !== undefined) peer.receive(datagram)
      else this.#receiveFromStranger(datagram, address, port)
    } catch (error) {
      // Whatever is in a datagram: it costs itself only.
      tell(peerText(address, port), 'a datagram could not be worked on: %s', error)
      this.#drop('malformed', address, port)
    }
  }

  /** Where the next datagram begins that needs a look of its own. */
  #receiveRun(
    datagrams: Buffer,
    offset: number,
    segment: number,
    address: string,
    port: number,
  ): number {
    if (this.#closed) return datagrams.length
    try {
      const peer = this.#findPeer(address, port)
      return peer === undefined ? offset : peer.receiveRun(datagrams, offset, segment)
    } catch (error) {
      // One by one then: what has been taken already is an old record, which nobody takes twice.
      tell(peerText(address, port), 'a run of datagrams could not be worked on: %s', error)
      return offset
    }
  }

  /** A ClientHello can begin something; everything else of a stranger is dropped. */
  #receiveFromStranger(datagram: Buffer, address: string, port: number): void {
    let offset = 0
    while (offset < datagram.length) {
      const end = recordEnd(datagram, offset)
      if (end < 0) {
        this.#drop('malformed', address, port)
        return
      }
      const record = end - offset === datagram.length ? datagram : datagram.subarray(offset, end)
      offset = end
      const isClear = hasKnownType(record, 0) && epochOf(record, 0) === 0
      const hello = isClear ? parseClientHello(record) : undefined
      if (hello === undefined) {
        this.#drop(hasKnownType(record, 0) ? 'unknownPeer' : 'malformed', address, port)
        continue
      }
      const peer = this.#welcome(hello, record, address, port)
      if (peer === undefined) continue
      peer.serve(record)
      // A later fragment of its hello.
      if (offset < datagram.length) peer.receive(datagram.subarray(offset))
      return
    }
  }

  /** The new peer, where the hello's cookie is good and there is room. */
  #welcome(hello: ClientHello, record: Buffer, address: string, port: number): Peer | undefined {
    if (!this.acceptsStrangers || !this.#mayServe()) {
      this.#drop('unknownPeer', address, port)
      return undefined
    }
    const host = this.#findHost(address) ?? newHost(address)
    if (host === undefined) return undefined
    const isFull = this.#isFull(host)
    if (isFull && this.#strangers.size === 0) {
      this.#drop('limit', address, port)
      return undefined
    }
    if (this.challenge(hello, record, host, address, port) === undefined) return undefined
    if (isFull && !this.#makeRoom(host)) {
      this.#drop('limit', address, port)
      return undefined
    }
    if (!this.mayWork(record, address, port)) return undefined
    const peer = this.#addPeer(host, address, port)
    this.#strangers.add(peer)
    const ofNetwork = this.#strangersOf.get(host.network)
    if (ofNetwork === undefined) this.#strangersOf.set(host.network, new Set([peer]))
    else ofNetwork.add(peer)
    return peer
  }

  /** As far as our settings go: those of now, which may have what those before did not. */
  #mayServe(): boolean {
    try {
      this.settingsNow()
      return this.canServe
    } catch (error) {
      warnOfSilence(error as Error)
      return false
    }
  }

  #isFull(host: KnownHost): boolean {
    return this.#peerCount >= this.settings.maxSessions || this.#isNetworkFull(host)
  }

  #isNetworkFull({ network }: KnownHost): boolean {
    return (this.#networks.get(network) ?? 0) >= this.settings.maxSessionsPerHost
  }

  /**
   * One more peer of this host can come where the oldest handshake of a stranger goes that has not
   * gone on since our answer, or that has stood for long. Otherwise a few hundred hellos a second, or
   * fewer that go on by one step, would keep all others out.
   */
  #makeRoom(host: KnownHost): boolean {
    const ofNetwork = this.#strangersOf.get(host.network) ?? []
    for (const peer of this.#isNetworkFull(host) ? ofNetwork : this.#strangers) {
      const handshake = peer.strangersHandshake
      if (handshake === undefined) {
        this.#noStranger(peer)
      } else if (!handshake.progressed || handshake.startedAt + PLACE_KEPT < this.clock.now()) {
        tell(peer.text, 'makes room: its handshake has not gone on')
        peer.close('ECANCELED', 'it made room for another', false)
        return !this.#isFull(host)
      }
    }
    return false
  }

  #noStranger(peer: Peer): void {
    const { network } = peer.host as KnownHost
    this.#strangers.delete(peer)
    const ofNetwork = this.#strangersOf.get(network)
    ofNetwork?.delete(peer)
    if (ofNetwork?.size === 0) this.#strangersOf.delete(network)
  }

  challenge(
    hello: ClientHello,
    record: Buffer,
    host: Host,
    address: string,
    port: number,
  ): number | undefined {
    const givenAt = this.#cookies.givenAt(hello, host.bytes, port)
    if (givenAt !== undefined) return givenAt
    // One answer a datagram, however many hellos are in it.
    if (this.#challenged) return undefined
    this.#challenged = true
    if (HELLO_VERIFY_REQUEST_LENGTH <= AMPLIFICATION_LIMIT * record.length) {
      this.#cookiesSent += 1
      tell(peerText(address, port), 'is asked to show that it receives at its address')
      this.observer.datagram(this.#cookies.request(hello, host.bytes, port), address, port)
    }
    return undefined
  }

  mayWork(records: Buffer, address: string, port: number): boolean {
    if (this.#working || this.budget.open) return true
    const copy = Buffer.from(records)
    if (!this.budget.defer(address, () => this.receive(copy, address, port)))
      this.#drop('limit', address, port)
    return false
  }

  associate(options: AssociationOptions): Association {
    return this.#associate(options)
  }

  send(message: Buffer, address: string, port: number, host: string, callback: SendCallback): void {
    const known = this.#findPeer(address, port)
    if (known !== undefined && message.length > 0 && message.length <= MAX_MESSAGE_BYTES) {
      known.send(message, host, callback)
      return
    }
    let peer: Peer
    try {
      checkMessage(message)
      peer = this.#peerFor(address, port)
    } catch (error) {
      callback(error as Error)
      return
    }
    peer.send(message, host, callback)
  }

  async secure(address: string, port: number, host: string): Promise<SecurityInfo> {
    return this.#peerFor(address, port).secure(host)
  }

  setTargetName(address: string, port: number, name: TargetName): void {
    const { text } = this.#canonical(address)
    const peers = this.#peersAt(text, port)
    checkUncommitted(peers)
    this.names.set(text, port, name)
    for (const peer of peers) peer.nameSet()
  }

  deleteTargetName(address: string, port: number): boolean {
    const { text } = this.#canonical(address)
    const name = this.names.delete(text, port)
    if (name === undefined) return false
    for (const peer of this.#peersAt(text, port)) peer.nameDeleted(name)
    return true
  }

  query(address: string, port: number): SecurityInfo | undefined {
    return this.#findPeer(address, port)?.info
  }

  exportKeyingMaterial(
    address: string,
    port: number,
    length: number,
    label: string,
    context: Buffer | undefined,
  ): Buffer | undefined {
    return this.#findPeer(address, port)?.exportKeyingMaterial(length, label, context)
  }

  peers(): PeerAddress[] {
    const secured = this.#allPeers().filter(peer => peer.isSecured)
    return secured.map(({ address, port }) => ({ address, port }))
  }

  get deadline(): number {
    return this.budget.waiting ? this.clock.now() : this.timers.deadline
  }

  tick(): void {
    if (this.#closed) return
    this.#working = true
    try {
      this.budget.work()
    } finally {
      this.#working = false
    }
    const now = this.clock.now()
    // All that are due now, each once: what one of them starts is due again later.
    const due: Peer[] = []
    for (let peer = this.timers.take(now); peer !== undefined; peer = this.timers.take(now)) {
      due.push(peer)
    }
    for (const peer of due) this.#wake(peer, now)
  }

  #wake(peer: Peer, now: number): void {
    try {
      peer.tick(now)
    } catch (error) {
      tell(peer.text, 'what was due could not be done: %s', error)
      peer.close('EPROTO', `${peer.text}: ${(error as Error).message}`, true)
    }
  }

  closePeer(address: string, port: number): void {
    const peer = this.#findPeer(address, port)
    peer?.close('ECANCELED', `the security of ${peer.text} was ended`, true)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.budget.clear()
    for (const peer of this.#allPeers()) peer.close('ECANCELED', 'the socket was closed', false)
  }

  sendFailed(error: Error, address: string, port: number): void {
    const peer = this.#findPeer(address, port)
    if (peer !== undefined) peer.sendFailed(error)
    else this.#drop('icmp', address, port)
  }

  get stats(): EndpointStats {
    const peers = this.#allPeers()
    return {
      ...this.totals.snapshot(),
      cookiesSent: this.#cookiesSent,
      peers: peers.filter(peer => peer.isSecured).length,
      handshaking: peers.filter(peer => peer.isHandshaking).length,
    }
  }

  peerStats(address: string, port: number): PeerStats | undefined {
    return this.#findPeer(address, port)?.counters.snapshot()
  }

  forget(peer: Peer): void {
    this.timers.remove(peer)
    if (this.#latest === peer) this.#latest = undefined
    const host = peer.host as KnownHost
    if (host.peers.get(peer.port) !== peer) return
    host.peers.delete(peer.port)
    this.#noStranger(peer)
    this.#count(host, -1)
    if (host.peers.size > 0) return
    for (const spelling of host.spellings) this.#hosts.delete(spelling)
    host.spellings.length = 0
  }

  #peerFor(address: string, port: number): Peer {
    if (this.#closed) {
      throw new SocketSecurityError('ENOTSOCK', 'the socket is closed')
    }
    const known = this.#findPeer(address, port)
    if (known !== undefined) return known
    const host = this.#findHost(address) ?? newHost(address)
    if (host === undefined) throw noAddress(address)
    return this.#addPeer(host, address, port)
  }

  #addPeer(host: KnownHost, address: string, port: number): Peer {
    const peer = new Peer(this, host, host.spelling, port)
    host.peers.set(port, peer)
    this.#count(host, 1)
    for (const spelling of [host.text, address]) this.#remember(host, spelling)
    return peer
  }

  #count(host: KnownHost, more: number): void {
    this.#peerCount += more
    const ofNetwork = (this.#networks.get(host.network) ?? 0) + more
    if (ofNetwork > 0) this.#networks.set(host.network, ofNetwork)
    else this.#networks.delete(host.network)
  }

  #findPeer(address: string, port: number): Peer | undefined {
    const latest = this.#latest
    if (latest !== undefined && latest.port === port && latest.address === address) return latest
    const found = this.#findHost(address)?.peers.get(port)
    if (found !== undefined) this.#latest = found
    return found
  }

  /** An address that is written otherwise than before is the same host. */
  #findHost(address: string): KnownHost | undefined {
    const known = this.#hosts.get(address)
    if (known !== undefined) return known
    const canonical = canonicalAddress(address)
    const host = canonical && this.#hosts.get(canonical.text)
    if (host !== undefined) this.#remember(host, address)
    return host
  }

  #remember(host: KnownHost, spelling: string): void {
    if (host.spellings.length >= SPELLING_LIMIT || this.#hosts.get(spelling) === host) return
    this.#hosts.set(spelling, host)
    host.spellings.push(spelling)
  }

  #canonical(address: string) {
    const canonical = canonicalAddress(address)
    if (canonical === undefined) throw noAddress(address)
    return canonical
  }

  /** The peers that a name is for; port 0 means all of the address. */
  #peersAt(text: string, port: number): Peer[] {
    const peers = [...(this.#hosts.get(text)?.peers.values() ?? [])]
    return port === 0 ? peers : peers.filter(peer => peer.port === port)
  }

  #allPeers(): Peer[] {
    const peers: Peer[] = []
    for (const [spelling, host] of this.#hosts) {
      if (spelling !== host.text) continue
      for (const peer of host.peers.values()) peers.push(peer)
    }
    return peers
  }

  #drop(reason: DropReason, address: string, port: number): void {
    this.totals.dropped[reason] += 1
    tellDropped(address, port, reason)
  }
}

/** @param before those in use; where there are none yet, whoever cannot be a server may be a client */
function checkUsable(settings: ParsedSettings, before: ParsedSettings | undefined): ParsedSettings {
  const serves = hasServerCredentials(settings)
  dtlsContext(settings, serves ? 'server' : 'client')
  if (before !== undefined && serves) checkServerKeys(settings)
  return settings
}

function newHost(address: string): KnownHost | undefined {
  const canonical = canonicalAddress(address)
  if (canonical === undefined) return undefined
  const { bytes } = canonical
  const network = bytes.toString('latin1', 0, Math.min(bytes.length, 8))
  return { ...canonical, network, peers: new Map(), spellings: [] }
}

function noAddress(address: string): Error {
  return new SocketSecurityError('EINVAL', `${show(address)} is no address of a peer`)
}

function checkMessage(message: Buffer): void {
  if (message.length === 0) {
    throw new SocketSecurityError(
      'EOPNOTSUPP',
      'an empty datagram cannot be secured: send at least one byte',
    )
  }
  if (message.length > MAX_MESSAGE_BYTES) {
    throw new SocketSecurityError(
      'EMSGSIZE',
      `a datagram of ${message.length} bytes cannot be secured: ${MAX_MESSAGE_BYTES} is the limit of DTLS`,
    )
  }
}
