/** What a question is, and how it is asked. */
import type { Control } from './control.js'
import type { Finding, Step } from './report.js'

export interface Question {
  /** For --only. */
  readonly id: string
  readonly asks: string
  /** What the library relies on, or what the documentation says. */
  readonly expected: string
  /** `peer`: two machines are needed. */
  readonly needs: 'machine' | 'peer'
  answer(check: Check): Promise<Answer>
}

export interface Answer {
  readonly answer: string
  /** As expected; null where it could not be told. */
  readonly agrees: boolean | null
}

export interface Check {
  /** Notes what was done, and what came of it. */
  note(did: string, got: string): void
  /** Milliseconds that a connection may take. */
  readonly patience: number
  readonly peer?: Peer
}

/** The other machine. */
export interface Peer {
  /** As the client called it. */
  readonly host: string
  readonly address: string
  readonly control: Control
  /** What it must prove to be. */
  readonly spn: string
  /** Names that it must not be able to prove, by what they are. */
  readonly wrongNames: Readonly<Record<string, string>>
  /** Names of accounts may be told. */
  readonly names: boolean
}

/** Asks, and makes a finding of whatever comes of it. */
export async function ask(question: Question, check: Omit<Check, 'note'>): Promise<Finding> {
  const steps: Step[] = []
  const note = (did: string, got: string) => {
    steps.push({ did, got })
  }
  const { id, asks, expected } = question
  const outcome = await question.answer({ ...check, note }).catch(
    (error: Error): Answer => ({
      answer: `could not be found out: ${error.message}`,
      agrees: null,
    }),
  )
  return { id, question: asks, expected, ...outcome, steps }
}

/** The other machine, in a question that needs one. */
export function peerOf({ peer }: Check): Peer {
  if (!peer) throw new Error('this question needs two machines')
  return peer
}
