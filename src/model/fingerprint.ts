/** A digest of settings: equal for equal contents, different for different ones. */
import { createHash } from 'node:crypto'
import { isView } from './setting-values.js'

/** Every value is framed by its kind and length, so that no two contents collide. Functions are told apart by identity. */
export function fingerprintOf(settings: Record<string, unknown>): string {
  const hash = createHash('sha256')
  const add = (value: unknown): void => {
    if (isView(value)) {
      hash.update(`b${value.byteLength}:`).update(value)
    } else if (Array.isArray(value)) {
      hash.update(`a${value.length}:`)
      value.forEach(add)
    } else if (typeof value === 'object' && value !== null) {
      const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
      hash.update(`o${entries.length}:`)
      for (const [key, each] of entries) {
        add(key)
        add(each)
      }
    } else {
      const shown =
        typeof value === 'function'
          ? `f${secrets.get(value) ?? functionNumber(value)}`
          : `${typeof value}${String(value)}`
      hash.update(`${Buffer.byteLength(shown)}:${shown}`)
    }
  }
  add(settings)
  return hash.digest('base64')
}

/** Lets a function that gives a secret be told apart by this digest of it, and not by its identity. */
export function standsFor(secret: object, digest: string): void {
  secrets.set(secret, digest)
}

const secrets = new WeakMap<object, string>()
const functionNumbers = new WeakMap<object, number>()
let functionCount = 0

function functionNumber(value: object): number {
  const known = functionNumbers.get(value)
  if (known !== undefined) return known
  functionCount += 1
  functionNumbers.set(value, functionCount)
  return functionCount
}
