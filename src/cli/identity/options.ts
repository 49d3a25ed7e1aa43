import type { KeyAlgorithm } from '../../identity/key-algorithm.js'
import { parseAlgorithm, parseValidity } from '../../identity/options.js'

/** The options of every command that makes a certificate. */
export const certificateOptions = {
  dir: { type: 'string', default: '.' },
  days: { type: 'string' },
  algorithm: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

/** Checked here as well as in the library, because here it is a mistake in the command line. */
export function parseCertificateOptions(values: {
  dir: string
  days?: string | undefined
  algorithm?: string | undefined
}): { directory: string; days: number | undefined; algorithm: KeyAlgorithm } {
  return {
    directory: values.dir,
    days: values.days === undefined ? undefined : parseDays(values.days),
    algorithm: parseAlgorithm(values.algorithm),
  }
}

function parseDays(text: string): number {
  const days = /^\d+(\.\d+)?$/.test(text) ? Number(text) : text
  parseValidity(days)
  return days as number
}
