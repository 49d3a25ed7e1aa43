/** Something of ours that reads what others have written, and what must hold of it whatever they write. */
export interface Parser {
  /** Of its folder in corpus/, and for `npm run fuzz -- NAME`. */
  readonly name: string
  /** What it takes in good faith: inputs are made of these, and of those in the corpus. */
  seeds(): readonly Buffer[] | Promise<readonly Buffer[]>
  /** How many times longer than for others an input takes. Default: 1. */
  readonly pace?: number
  /** False: its inputs belong into no repository, since they have keys in them or are of no use again. */
  readonly keeps?: false
  /** What is put in between, besides random bytes. */
  readonly words?: readonly (string | Buffer)[]
  /** Throws where something does not hold. */
  check(input: Buffer): void
}

/** A promise that was broken: told apart from the errors that a parser may throw. */
export class Violation extends Error {
  override readonly name = 'Violation'
  /** The same for all inputs that break this promise. */
  readonly kind: string

  constructor(kind: string, detail = '', cause?: unknown) {
    super(detail === '' ? kind : `${kind}: ${detail}`, { cause })
    this.kind = kind
  }
}

/** @param detail what differs from input to input */
export function must(holds: boolean, what: string, detail?: string): asserts holds {
  if (!holds) throw new Violation(what, detail)
}

/** What it gives, or undefined where it refuses by an error that is one of these; any other is a violation. */
export function resultOr<T>(
  read: () => T,
  isDocumented: (error: unknown) => boolean,
): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof Violation) throw error
    if (isDocumented(error)) return undefined
    const { name, message } = Object(error) as Error
    throw new Violation('an error that is not documented', `${name}: ${message}`, error)
  }
}

/** By a SocketSecurityError with one of these codes, which says something. */
export function withCode(...codes: string[]): (error: unknown) => boolean {
  return error => {
    const { name, code, message } = Object(error) as Error & { code?: string }
    return name === 'SocketSecurityError' && codes.includes(code ?? '') && message !== ''
  }
}
