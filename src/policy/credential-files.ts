/** The files that settings name: read, and put in their place. */
import { readFileSync } from 'node:fs'
import { isView } from '../model/setting-values.js'

/** The settings with the contents of each file where its URL stood. */
export function readCredentialFiles(settings: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(
    Object.entries(settings).map(([key, value]) => [key, contents(key, value)]),
  )
}

function contents(key: string, value: unknown): unknown {
  if (value instanceof URL) return decoded(key, readFileSync(value))
  if (Array.isArray(value)) return value.map(each => contents(key, each))
  if (key !== 'psk' || typeof value !== 'object' || value === null || isView(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [name, contents(key, each)]),
  )
}

/** A passphrase is text, a pre-shared key hexadecimal text, each in a line of its own; all else is taken as it is. */
function decoded(key: string, file: Buffer): unknown {
  if (key === 'passphrase') return file.toString('utf8').replace(/\r?\n$/, '')
  if (key === 'psk') return Buffer.from(file.toString('latin1').trim(), 'hex')
  return file
}
