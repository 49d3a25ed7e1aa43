import type { X509Certificate } from 'node:crypto'

/** Two aligned columns, indented. */
export function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('')
}

/** What a machine reads: one JSON value and a line end. */
export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

/** The validity of a certificate as ISO 8601 texts. */
export function validity({ validFrom, validTo }: X509Certificate) {
  return { notBefore: iso(validFrom), notAfter: iso(validTo) }
}

/** The day alone of an ISO 8601 text. */
export function day(text: string): string {
  return text.slice(0, 10)
}

function iso(opensslTime: string): string {
  return new Date(opensslTime).toISOString()
}
