/**
 * What the programs of this folder have in common: a hook is where a socket calls the program, and in it,
 * once, something is done that nobody expects there.
 */
import { EventEmitter } from 'node:events'
import { parsePolicy } from '../../../src/model/policy/parse.js'
import { allOf } from '../in-turns.js'

export interface Case {
  readonly role: string
  readonly hook: string
  readonly action: string
}

/** What came of a case; all is well where it is empty. */
export interface Outcome extends Case {
  readonly faults: string[]
}

/** Of what may still come after the hook has been called, but need not. */
const MOMENT = 150
/** Of what must come; the machine may be busy. */
const LONG = 20_000

export const thrownOnPurpose = 'thrown on purpose'

/** One run through the life of some sockets, with the action in its hook. */
export class Run {
  readonly faults: string[] = []
  readonly what: Case
  /** Called where the hook is; undefined where it was not yet. */
  acted = false
  /** How often the thrown error came to the process. */
  uncaught = 0
  #begun = false
  #steps = 0
  #loops = 0
  readonly #act: () => void
  readonly #told = new EventEmitter()
  readonly #closes = new Map<EventEmitter, number>()

  constructor(what: Case, act: (run: Run) => void) {
    this.what = what
    this.#act = () => act(this)
    this.#told.setMaxListeners(0)
  }

  /** All sockets are there: hooks count from now on. */
  begin(): void {
    this.#begun = true
  }

  /** The function for a hook of this name: the action, at its first call, if it is this case's. */
  at(role: string, hook: string): () => void {
    return () => {
      if (!this.#begun || this.acted || role !== this.what.role || hook !== this.what.hook) return
      this.acted = true
      this.#told.emit('acted')
      this.#act()
    }
  }

  fail(): never {
    throw Object.assign(new Error(thrownOnPurpose), { run: this })
  }

  /** Counts how often it closes. */
  watch<T extends EventEmitter>(emitter: T): T {
    this.#closes.set(emitter, 0)
    emitter.on('close', () => {
      this.#closes.set(emitter, (this.#closes.get(emitter) ?? 0) + 1)
      this.#told.emit('close')
    })
    return emitter
  }

  /** Takes by a loop what comes, until that ends; what the action throws in the loop is the process's. */
  async takes(source: AsyncIterable<unknown>, act: () => void): Promise<void> {
    this.#loops++
    try {
      for await (const _ of source) act()
    } catch (error) {
      if ((error as { run?: Run }).run === this)
        queueMicrotask(() => {
          throw error
        })
    }
    this.#loops--
  }

  isClosed(emitter: EventEmitter): boolean {
    return (this.#closes.get(emitter) ?? 0) > 0
  }

  /** Waits for a step of the life; after the action, which may have ended anything, only a moment. */
  async step(began: (resolve: () => void) => void): Promise<void> {
    this.#steps++
    await new Promise<void>(resolve => {
      const late = setTimeout(() => {
        this.faults.push(`step ${this.#steps} took too long`)
        done(resolve)
      }, LONG)
      let moment: NodeJS.Timeout | undefined
      const briefly = () => {
        moment ??= setTimeout(() => done(resolve), MOMENT)
      }
      const done = (then: () => void) => {
        clearTimeout(late)
        clearTimeout(moment)
        this.#told.off('acted', briefly)
        then()
      }
      if (this.acted) briefly()
      else this.#told.once('acted', briefly)
      began(() => done(resolve))
    })
  }

  /** Waits until it holds, whatever was done. */
  async must(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    const end = performance.now() + LONG
    while (!(await holds())) {
      if (performance.now() > end) {
        this.faults.push(`not so: ${what}`)
        return
      }
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }

  /** When all is closed. */
  end(expectedUncaught: number): Outcome {
    if (this.#loops > 0) this.faults.push('a loop goes on')
    if (!this.acted) this.faults.push('the hook was not called')
    if (this.uncaught !== expectedUncaught)
      this.faults.push(`${this.uncaught} uncaught, where ${expectedUncaught} was to come`)
    for (const [emitter, count] of this.#closes)
      if (count !== 1) this.faults.push(`a ${emitter.constructor.name} closed ${count} times`)
    return { ...this.what, faults: this.faults }
  }
}

/** The other of the two ends. */
export function otherRole(role: string): string {
  return role === 'client' ? 'server' : 'client'
}

/** Those that change what is everybody's come one at a time, after all others. */
export async function runTable(
  cases: readonly Case[],
  run: (what: Case) => Promise<Outcome>,
): Promise<Outcome[]> {
  const isAlone = ({ action }: Case) => action === 'forbid'
  const together = cases.filter(each => !isAlone(each))
  const alone = cases.filter(isAlone)
  return [...(await runAll(together, run, 24)), ...(await runAll(alone, run, 1))]
}

/** Errors that were thrown on purpose are their run's; any other ends the process, as it should. */
export function countUncaught(): void {
  process.on('uncaughtException', error => {
    const { run } = error as { run?: Run }
    if (run) run.uncaught++
    else {
      process.stderr.write(`${error.stack}\n`)
      process.exit(9)
    }
  })
}

/** Does it, whatever it says of a socket that is closed already. */
export function attempt(what: () => unknown): void {
  try {
    const result = what()
    if (result instanceof Promise) result.catch(() => {})
  } catch {
    // It may be closed.
  }
}

/** All of them, some at a time. */
async function runAll(
  cases: readonly Case[],
  run: (what: Case) => Promise<Outcome>,
  atATime: number,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  await allOf(atATime, cases, async each => void outcomes.push(await run(each)))
  return outcomes
}

/** An administrator's policy that these programs hardly notice, and one that lets nothing be secured. */
export const policies = {
  none: null,
  other: parsePolicy(
    // Other settings, so that what secures the next handshake is made anew.
    JSON.stringify({
      applicationMaySet: true,
      datagrams: { maxSessions: 5000 },
      streams: { handshakeTimeout: 50_000 },
    }),
    'policy.json',
  ),
  /** Their credentials are the application's, and it may set none. */
  strict: parsePolicy(JSON.stringify({ applicationMaySet: [] }), 'policy.json'),
}
