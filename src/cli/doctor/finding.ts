/** What the doctor finds out about one part of this library, here and now. */
export interface Finding {
  /** As programs know it, and no other finding. */
  readonly name: 'node' | 'tls' | 'dtls' | 'batch' | 'winsock' | 'strongswan' | 'policy'
  /** The same for people. */
  readonly title: string
  /**
   * `works`; `fails`: it is needed and cannot be used; `missing`: it cannot be used, and nothing that
   * was asked for needs it; `elsewhere`: it is for another platform.
   */
  readonly status: 'works' | 'fails' | 'missing' | 'elsewhere'
  /** One line: what works, or why it does not. */
  readonly summary: string
  /** What to do about it, a line each. */
  readonly remedies?: readonly string[]
  /** What was looked at, for machines and for reports of errors. No secrets. */
  readonly details?: Readonly<Record<string, unknown>>
}

/** What an error says, for a summary: its first line. */
export function reason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.split('\n', 1)[0] ?? ''
}
