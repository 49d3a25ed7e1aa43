/**
 * A system that secures datagrams, made up: what it was told, in order, and what it says of each
 * peer. Its sockets are real ones of Linux where somebody gives it their descriptors.
 */
import type { SecurityInfo } from '../../src/model/security-info.js'
import type {
  NativeBinding,
  NativeDatagramProvider,
  NativeDatagramRequest,
  NativeDatagramSocket,
} from '../../src/providers/datagram-provider.js'

export const securedInfo: SecurityInfo = {
  secured: true,
  encrypted: true,
  protocol: 'ipsec',
  resumed: false,
}
export const clearInfo: SecurityInfo = { ...securedInfo, secured: false, encrypted: false }
export const plainInfo: SecurityInfo = { ...securedInfo, encrypted: false }

/** Never settles: a system that does not answer. */
export const never = new Promise<never>(() => {})

export class NativeStandIn implements NativeDatagramProvider {
  readonly mode = 'native'
  readonly requests: NativeDatagramRequest[] = []
  readonly sockets: StandInSocket[] = []
  /** What was asked for, in order, of all sockets. */
  readonly log: string[] = []
  /** What it says of a peer, `address:port`. */
  answer: (peer: string) => SecurityInfo | Promise<SecurityInfo> = () => securedInfo
  /** How it takes names, and lets them go. */
  named: (peer: string, name: string) => void | Promise<void> = () => {}
  deleted: (peer: string) => void | Promise<void> = () => {}
  /** How it binds its sockets itself, where it does. */
  binding: ((socket: StandInSocket, to: NativeBinding) => Promise<void>) | undefined
  /** What opening waits for. */
  opening: () => void | Promise<void> = () => {}

  readonly #descriptor: () => number
  readonly #close: (descriptor: number) => void

  constructor(descriptor: () => number = () => -1, close: (descriptor: number) => void = () => {}) {
    this.#descriptor = descriptor
    this.#close = close
  }

  async openSocket(request: NativeDatagramRequest): Promise<NativeDatagramSocket> {
    this.requests.push(request)
    this.log.push('secure')
    await this.opening()
    const socket = new StandInSocket(this, this.#descriptor(), this.#close)
    this.sockets.push(socket)
    return socket
  }
}

export class StandInSocket implements NativeDatagramSocket {
  discarded = 0
  /** How to ask whether the handle lives that has taken it. */
  alive: (() => boolean) | undefined
  bind?: (to: NativeBinding) => Promise<void>
  closing?: () => void
  readonly #system: NativeStandIn
  readonly #close: (descriptor: number) => void

  constructor(
    system: NativeStandIn,
    readonly descriptor: number,
    close: (descriptor: number) => void,
  ) {
    this.#system = system
    this.#close = close
    const { binding } = system
    if (!binding) return
    this.bind = to => binding(this, to)
    this.closing = () => this.#note('closing')
  }

  discard(): void {
    this.discarded += 1
    this.#close(this.descriptor)
  }

  adopted(alive: () => boolean): void {
    this.#system.log.push('adopted')
    this.alive = alive
  }

  async setTargetName(address: string, port: number, { text }: { text: string }): Promise<void> {
    this.#note(`name ${address}:${port} ${text}`)
    await this.#system.named(`${address}:${port}`, text)
  }

  async deleteTargetName(address: string, port: number): Promise<void> {
    this.#note(`delete ${address}:${port}`)
    await this.#system.deleted(`${address}:${port}`)
  }

  async query(address: string, port: number): Promise<SecurityInfo> {
    this.#note(`query ${address}:${port}`)
    return await this.#system.answer(`${address}:${port}`)
  }

  impersonate<T>(address: string, port: number, fn: () => T): T {
    this.#note(`impersonate ${address}:${port}`)
    try {
      return fn()
    } finally {
      this.#note('revert')
    }
  }

  /** No number of a closed socket is ever used. */
  #note(what: string): void {
    if (this.alive?.() === false) throw new Error(`${what}: the handle is closed`)
    this.#system.log.push(what)
  }
}
