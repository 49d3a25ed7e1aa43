/**
 * An endpoint without cryptography, for what the socket does around it: a peer says H and is answered
 * h, then both are "secured" and messages go with every bit turned.
 */
import type {
  DatagramEndpoint,
  DatagramProvider,
  EndpointObserver,
  EndpointRequest,
  PeerAddress,
  SendCallback,
} from '../../../src/providers/datagram-provider.js'

const HELLO = Buffer.from('H')
const ANSWER = Buffer.from('h')
const FAREWELL = Buffer.from('b')
const DATA = Buffer.from('D')

/** What is known of the endpoints that were made, newest last. */
export const fakes: FakeEndpoint[] = []

export const fakeProvider: DatagramProvider = {
  mode: 'channel',
  createEndpoint(request, observer) {
    const fake = new FakeEndpoint(request, observer)
    fakes.push(fake)
    return fake
  },
}

interface Peer {
  readonly where: PeerAddress
  secured: boolean
  readonly waiting: { message: Buffer; callback: SendCallback }[]
  readonly securing: PromiseWithResolvers
}

interface PromiseWithResolvers {
  promise: Promise<void>
  resolve(): void
  reject(error: Error): void
}

export class FakeEndpoint implements DatagramEndpoint {
  acceptsStrangers = false
  deadline = Number.POSITIVE_INFINITY
  ticks = 0
  received = 0
  closed = false
  readonly names: { address: string; port: number; name: string }[] = []
  readonly hosts: string[] = []
  readonly failed: Error[] = []
  readonly peersByKey = new Map<string, Peer>()
  /** Called in tick(). */
  onTick: () => void = () => {}

  constructor(
    readonly request: EndpointRequest,
    readonly observer: EndpointObserver,
  ) {}

  receive(datagrams: Buffer, address: string, port: number, segment = datagrams.length): void {
    for (let at = 0; at === 0 || at < datagrams.length; at += segment)
      this.#receive(datagrams.subarray(at, at + segment), address, port)
  }

  #receive(datagram: Buffer, address: string, port: number): void {
    this.received += 1
    const peer = this.#peer(address, port)
    switch (datagram[0]) {
      case HELLO[0]:
        if (!this.acceptsStrangers) return
        this.observer.datagram(ANSWER, address, port)
        this.#secured(peer)
        break
      case ANSWER[0]:
        this.#secured(peer)
        break
      case FAREWELL[0]:
        this.#end(peer, new Error('the peer has closed'))
        break
      case DATA[0]:
        if (peer.secured) {
          const source = { ...peer.where, peer: { names: ['fake.example'] }, targetName: undefined }
          this.observer.message(turned(datagram.subarray(1)), source)
        }
    }
  }

  send(message: Buffer, address: string, port: number, host: string, callback: SendCallback): void {
    this.hosts.push(host)
    const peer = this.#peer(address, port)
    if (peer.secured) {
      this.#transmit(peer, message, callback)
    } else {
      if (peer.waiting.length === 0) this.observer.datagram(HELLO, address, port)
      peer.waiting.push({ message: Buffer.from(message), callback })
    }
  }

  async secure(address: string, port: number, host: string) {
    this.hosts.push(host)
    const peer = this.#peer(address, port)
    if (!peer.secured) this.observer.datagram(HELLO, address, port)
    await peer.securing.promise
    return info
  }

  setTargetName(address: string, port: number, { text }: { text: string }): void {
    this.names.push({ address, port, name: text })
  }

  deleteTargetName(address: string, port: number): boolean {
    const index = this.names.findIndex(each => each.address === address && each.port === port)
    if (index !== -1) this.names.splice(index, 1)
    return index !== -1
  }

  query(address: string, port: number) {
    return this.peersByKey.get(`${address} ${port}`)?.secured ? info : undefined
  }

  exportKeyingMaterial(address: string, port: number, length: number): Buffer | undefined {
    return this.query(address, port) && Buffer.alloc(length, 7)
  }

  sendFailed(error: Error): void {
    this.failed.push(error)
  }

  peers(): PeerAddress[] {
    return [...this.peersByKey.values()].filter(each => each.secured).map(each => each.where)
  }

  get queued() {
    const waiting = [...this.peersByKey.values()].flatMap(each => each.waiting)
    const bytes = waiting.reduce((sum, { message }) => sum + message.length, 0)
    return { datagrams: waiting.length, bytes }
  }

  tick(): void {
    this.ticks += 1
    this.onTick()
  }

  closePeer(address: string, port: number): void {
    const peer = this.#peer(address, port)
    if (peer.secured) this.observer.datagram(FAREWELL, address, port)
    this.#end(peer, Object.assign(new Error('closed'), { code: 'ECANCELED' }))
  }

  close(): void {
    for (const { where } of this.peersByKey.values()) this.closePeer(where.address, where.port)
    this.closed = true
  }

  /** As after a handshake that failed. */
  fail(address: string, port: number, error: Error): void {
    const peer = this.#peer(address, port)
    this.#end(peer, error)
    this.observer.peerError(error, peer.where)
  }

  get stats(): never {
    return { dropped: { icmp: 0 } } as never
  }

  peerStats(): undefined {
    return undefined
  }

  #peer(address: string, port: number): Peer {
    const key = `${address} ${port}`
    let peer = this.peersByKey.get(key)
    if (!peer) {
      peer = { where: { address, port }, secured: false, waiting: [], securing: resolvers() }
      this.peersByKey.set(key, peer)
    }
    return peer
  }

  #secured(peer: Peer): void {
    if (peer.secured) return
    peer.secured = true
    peer.securing.resolve()
    this.observer.secured(peer.where, info)
    for (const { message, callback } of peer.waiting.splice(0))
      this.#transmit(peer, message, callback)
  }

  #transmit({ where }: Peer, message: Buffer, callback: SendCallback): void {
    const datagram = Buffer.concat([DATA, turned(message)])
    this.observer.datagram(datagram, where.address, where.port, error =>
      error ? callback(error) : callback(null, message.length),
    )
  }

  #end(peer: Peer, error: Error): void {
    const { secured } = peer
    this.peersByKey.delete(`${peer.where.address} ${peer.where.port}`)
    for (const { callback } of peer.waiting.splice(0)) callback(error)
    peer.securing.reject(error)
    if (secured) this.observer.peerClosed(peer.where)
  }
}

const info = {
  secured: true,
  encrypted: true,
  protocol: 'ipsec',
  resumed: false,
  peer: { names: ['fake.example'] },
} as const

function turned(message: Buffer): Buffer {
  return Buffer.from(message.map(byte => byte ^ 0xff))
}

function resolvers(): PromiseWithResolvers {
  let settle!: Omit<PromiseWithResolvers, 'promise'>
  const promise = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject }
  })
  promise.catch(() => {})
  return { promise, ...settle }
}
