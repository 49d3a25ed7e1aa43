/**
 * One try to have a peer secured. The system is told first whom the peer must prove to be. Then it
 * secures the peer, where it can do so ahead; else one message leaves, since that is what makes it do
 * so. Then it is asked, until it says that the peer is secured, or that it will not be.
 */
import type { SecurityInfo } from '../../model/security-info.js'
import type { TargetName } from '../../model/target-name.js'
import type { WaitingMessage } from '../datagrams/message-queue.js'
import { rethrowLater } from '../datagrams/safely.js'
import { type NativePeerContext, tellName, type Whereabouts } from './context.js'
import { type AttemptStep, insufficiency, tooLate } from './errors.js'

/** Milliseconds until the system is asked again that says "not secured" while it negotiates; doubled each time. */
const FIRST_PAUSE = 20
const LONGEST_PAUSE = 1000
/** Milliseconds by which the system may be late that was told how long somebody waits: it knows best why it fails. */
const GRACE = 1000

/** Whose attempt it is, and who hears of it. */
export interface AttemptPeer extends Whereabouts {
  readonly text: string
  /** Something has come of it that waits for the outcome. */
  readonly isHeard: boolean
  /** The attempt wants to be asked then, at the latest. */
  wake(at: number): void
  /** The first message that waits for this very peer; those for others fail. */
  firstMeant(attempt: Attempt): WaitingMessage | undefined
  /** The first message could not be sent. Does anything else wait for the outcome? */
  notSent(error: Error): boolean
  /** The name is another one by now: anew. */
  again(attempt: Attempt): void
  secured(attempt: Attempt, info: SecurityInfo): void
  /** @param isOfPeer it is the peer's failure, and not that of one message */
  failed(error: Error, isOfPeer: boolean): void
  /** Nothing is left to be sent or delivered. */
  dismissed(): void
}

export class Attempt {
  readonly endsAt: number
  /** What the application called the peer; undefined where the peer has spoken first. */
  readonly host: string | undefined
  /** The first message has left, or is leaving. */
  spoken = false
  /** The name that the system checks the peer against. */
  name: TargetName | undefined
  /** It was set by the application. */
  isSet = false
  /** An ICMP error that came meanwhile: perhaps why it does not answer. */
  unreachable: Error | undefined

  readonly #peer: AttemptPeer
  readonly #context: NativePeerContext
  /** What is waited for. */
  #step: AttemptStep = 'name'
  #pause = FIRST_PAUSE
  #nextQuery = Number.POSITIVE_INFINITY
  #isOver = false
  /** Told when it is over. */
  readonly #whenOver: (() => void)[] = []
  readonly #abort = new AbortController()

  constructor(peer: AttemptPeer, context: NativePeerContext, host: string | undefined) {
    this.#peer = peer
    this.#context = context
    this.host = host
    this.endsAt = context.clock.now() + context.settings.handshakeTimeout
  }

  /** The peer has begun it, and need not prove any name. */
  get isOfStranger(): boolean {
    return this.host === undefined && !this.isSet
  }

  /** When tick() wants to be called. */
  get wakeAt(): number {
    if (this.#step === 'pause') return Math.min(this.#nextQuery, this.endsAt)
    return this.#step === 'secure' ? this.endsAt + GRACE : this.endsAt
  }

  begin(): void {
    this.#after(tellName(this.#context, this.#peer, this.host), ({ name, isSet }) => {
      // Deleted, or another one set, in this very moment.
      const set = this.#context.setName(this.#peer)?.name
      if (isSet ? set?.text !== name?.text : set !== undefined) {
        this.#peer.again(this)
        return
      }
      this.name = name
      this.isSet = isSet
      if (this.#context.socket.secure === undefined) this.#speak()
      else if (this.host === undefined) this.#ask()
      else this.#secure()
    })
  }

  /** Nothing comes of it any more. */
  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#abort.abort()
    for (const tell of this.#whenOver.splice(0)) tell()
  }

  /** Resolves when nobody is being authenticated here; undefined where nobody is yet. */
  over(): Promise<void> | undefined {
    if (this.#step === 'name') return undefined
    return new Promise(resolve => this.#whenOver.push(resolve))
  }

  /** The peer has sent something: perhaps it is secured by now. */
  heard(): void {
    if (this.#step === 'pause') this.#ask()
  }

  tick(now: number): void {
    if (now < this.wakeAt) return
    if (now >= this.endsAt) {
      const { text } = this.#peer
      const late = tooLate(this.#step, text, this.#context.settings, this.unreachable)
      this.#peer.failed(late, true)
    } else this.#ask()
  }

  /** The system negotiates; nothing has left. */
  #secure(): void {
    const { socket, clock } = this.#context
    const { addressText, where } = this.#peer
    const { signal } = this.#abort
    this.#wait('secure')
    const waiting = { timeout: this.endsAt - clock.now(), signal }
    const secured = async () => socket.secure?.(addressText, where.port, waiting)
    this.#after(secured(), () => this.#ask())
  }

  /** One message leaves, since the system secures a peer with the first datagram. */
  #speak(): void {
    const first = this.#peer.firstMeant(this)
    if (first === undefined) {
      if (this.#peer.isHeard) this.#ask()
      else this.#peer.dismissed()
      return
    }
    this.#wait('send')
    this.spoken = true
    this.#context.transmit(first.message, this.#peer, error =>
      this.#context.enter(() => {
        if (this.#isOver) return
        if (error === null) this.#ask()
        else this.#notSent(error)
      }),
    )
  }

  /** That message failed; the next one may not, and what has come waits as well. */
  #notSent(error: Error): void {
    this.spoken = false
    if (this.#peer.notSent(error)) this.#speak()
    else this.#peer.failed(error, false)
  }

  #ask(): void {
    const { socket, clock, settings } = this.#context
    const { addressText, where, text } = this.#peer
    this.#wait('query')
    const asked = async () => socket.query(addressText, where.port)
    this.#after(asked(), info => {
      const insufficient = insufficiency(info, text, settings)
      if (insufficient === undefined) {
        this.#peer.secured(this, info)
      } else if (isUndecided(info) && this.spoken) {
        // The negotiation that our datagram has begun may take its time.
        this.#nextQuery = clock.now() + this.#pause
        this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE)
        this.#wait('pause')
      } else {
        this.#peer.failed(insufficient, true)
      }
    })
  }

  #wait(step: AttemptStep): void {
    this.#step = step
    this.#peer.wake(this.wakeAt)
  }

  /** What follows a call of the system, where nobody has given up meanwhile. */
  #after<T>(call: Promise<T>, next: (value: T) => void): void {
    const enter = (then: () => void) =>
      this.#context.enter(() => {
        if (!this.#isOver) then()
      })
    call
      .then(
        value => enter(() => next(value)),
        error => enter(() => this.#peer.failed(error as Error, true)),
      )
      .catch(rethrowLater)
  }
}

/** Nothing is secured, and nothing has failed: it may still be negotiated. */
function isUndecided({ secured, ipsec }: SecurityInfo): boolean {
  return !secured && !ipsec?.negotiationError
}
