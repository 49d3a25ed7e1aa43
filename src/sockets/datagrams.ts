/**
 * A secured datagram socket for `await` and `for await`: what node:dgram tells by callbacks and
 * events, told by promises and an iterator.
 */
import type { BindOptions } from 'node:dgram'
import type { AddressInfo } from 'node:net'
import type { SecurityInfo } from '../model/security-info.js'
import type { DatagramSecuritySettings } from '../model/settings.js'
import type { PeerAddress } from '../providers/datagram-provider.js'
import {
  type NamedPeer,
  SecureDgramSocket,
  type SecureDgramSocketOptions,
  type SecureRemoteInfo,
} from './secure-dgram-socket.js'

export type SecureDatagramsOptions = SecureDgramSocketOptions & {
  /** Messages that may wait for the loop; those that come when so many wait are lost, as UDP loses them. Default: 1024. */
  maxWaiting?: number
}

/** A message, and who has sent it. */
export interface Datagram {
  readonly message: Buffer
  readonly rinfo: SecureRemoteInfo
}

export type Message = string | NodeJS.ArrayBufferView | readonly (string | NodeJS.ArrayBufferView)[]

const DEFAULT_MAX_WAITING = 1024

/**
 * A datagram socket whose messages are taken by `for await (const { message, rinfo } of datagrams)`. An
 * `'error'` of the socket ends the loops, also those that begin later: make another one.
 */
export class SecureDatagrams implements AsyncIterable<Datagram>, AsyncDisposable {
  /** The socket itself, for its events (`'secure'`, `'peerError'`, `'peerClose'`) and all the rest. */
  readonly socket: SecureDgramSocket
  readonly #maxWaiting: number
  readonly #waiting: Datagram[] = []
  /** The loops that wait for a message. */
  #loops: (() => void)[] = []
  #failure: Error | null = null
  #ended = false
  #lost = 0

  constructor(options: SecureDatagramsOptions | 'udp4' | 'udp6') {
    const { maxWaiting = DEFAULT_MAX_WAITING, ...rest } =
      typeof options === 'object' ? options : { type: options }
    this.#maxWaiting = maxWaiting
    this.socket = new SecureDgramSocket(rest)
    this.socket.on('message', (message, rinfo) => this.#take({ message, rinfo }))
    this.socket.on('error', error => {
      this.#failure = error
      this.#wake()
    })
    this.socket.on('close', () => {
      this.#ended = true
      this.#wake()
    })
  }

  /** Messages that were lost because so many waited for the loop. */
  get lost(): number {
    return this.#lost
  }

  /** As the verb of the socket (WSASetSocketSecurity). */
  setSecurity(settings?: DatagramSecuritySettings | null): Promise<void> {
    return this.socket.setSecurity(settings)
  }

  /** As the verb of the socket (WSASetSocketPeerTargetName). */
  setPeerTargetName(peer: NamedPeer): Promise<void> {
    return this.socket.setPeerTargetName(peer)
  }

  /** Binds, and resolves to where: from then on strangers may come. Rejects with what `'error'` would give. */
  bind(port?: number, address?: string): Promise<AddressInfo>
  bind(options: BindOptions): Promise<AddressInfo>
  bind(...args: [BindOptions] | [number?, string?]): Promise<AddressInfo> {
    return this.#outcome('listening', () =>
      (this.socket.bind as (...args: unknown[]) => void)(...args),
    ).then(() => this.socket.address())
  }

  /** Binds the socket to one peer, as `connect()` of node:dgram; the handshake comes with the first message. */
  connect({ address, port }: { address?: string; port: number }): Promise<void> {
    return this.#outcome('connect', settle =>
      this.socket.connect(port, address, settle as () => void),
    )
  }

  /** Resolves to the bytes of the message when it has left; a connected socket needs no peer. */
  send(message: Message, to?: PeerAddress): Promise<number> {
    return new Promise((resolve, reject) => {
      const sent = (error: Error | null, bytes: number) => (error ? reject(error) : resolve(bytes))
      if (to) this.socket.send(message, to.port, to.address, sent)
      else this.socket.send(message, sent)
    })
  }

  /** Handshakes ahead of the first message; a connected socket needs no peer. */
  secure(peer?: PeerAddress): Promise<SecurityInfo> {
    return this.socket.secure(peer)
  }

  /** Closes after what was sent has left, ends the loops, and resolves when it is closed. */
  close(): Promise<void> {
    return this.socket[Symbol.asyncDispose]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Datagram> {
    while (true) {
      const datagram = this.#waiting.shift()
      if (datagram) yield datagram
      else if (this.#failure) throw this.#failure
      else if (this.#ended) return
      else await new Promise<void>(resolve => this.#loops.push(resolve))
    }
  }

  #take(datagram: Datagram): void {
    if (this.#waiting.length >= this.#maxWaiting) {
      this.#lost += 1
      return
    }
    this.#waiting.push(datagram)
    this.#wake()
  }

  /** Every loop looks again; who finds nothing waits again. */
  #wake(): void {
    const waking = this.#loops
    this.#loops = []
    for (const resolve of waking) resolve()
  }

  /** An event, or the error that comes instead of it: this is then no failure of the loops. */
  #outcome(event: string, begin: (settle: (error?: Error) => void) => void): Promise<void> {
    const { socket } = this
    return new Promise((resolve, reject) => {
      const settle = (error?: Error) => {
        socket.off(event, onEvent)
        socket.off('error', onError)
        socket.off('close', onClose)
        if (error) reject(error)
        else resolve()
      }
      const onEvent = () => settle()
      const onError = (error: Error) => {
        if (this.#failure === error) this.#failure = null
        settle(error)
      }
      const onClose = () => settle(new Error(`closed before '${event}'`))
      socket.on(event, onEvent)
      socket.on('error', onError)
      socket.on('close', onClose)
      try {
        begin(settle)
      } catch (error) {
        settle(error as Error)
      }
    })
  }
}
