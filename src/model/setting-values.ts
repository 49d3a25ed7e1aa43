/**
 * The checks of single settings. Each returns a copy that nobody else can change, or throws EINVAL
 * that names the setting; where a secret may stand, its kind and not its value.
 */
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { invalid, kindOf, SocketSecurityError } from './errors.js'

export type Check = (key: string, value: unknown) => unknown

export function boolean(key: string, value: unknown): unknown {
  if (typeof value !== 'boolean')
    throw invalid(`security.${key}`, value, 'give true or false', syscall)
  return value
}

export function text(key: string, value: unknown): unknown {
  if (typeof value !== 'string' || value === '')
    throw invalid(
      `security.${key}`,
      key === 'passphrase' ? undefined : value,
      'give a string',
      syscall,
    )
  return value
}

export function milliseconds(key: string, value: unknown): unknown {
  if (typeof value !== 'number' || !(value > 0) || value > 0x7fffffff) {
    throw invalid(`security.${key}`, value, 'give a positive number of milliseconds', syscall)
  }
  return value
}

/** A whole number, from the least to the most that is allowed. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): Check {
  const range =
    most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
  return (key, value) => {
    if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most)
      throw invalid(`security.${key}`, value, `give a whole number ${range}`, syscall)
    return value
  }
}

/** Whether, or where: relative to the working directory as it is now. */
export function keylogFile(key: string, value: unknown): unknown {
  if (typeof value === 'boolean') return value
  if (typeof value === 'string' && value !== '' && !value.includes('\0')) return resolve(value)
  if (value instanceof URL && value.protocol === 'file:') return fileURLToPath(value)
  throw invalid(
    `security.${key}`,
    value,
    "give true for the event 'keylog', or the path of a file too",
    syscall,
  )
}

export function oneOf(...allowed: string[]): Check {
  return (key, value) => {
    if (!allowed.includes(value as string))
      throw invalid(`security.${key}`, value, `give one of ${allowed.join(', ')}`, syscall)
    return value
  }
}

export function bytes(length: number): Check {
  return (key, value) => {
    if (!isView(value) || value.byteLength !== length) {
      throw new SocketSecurityError(
        'EINVAL',
        `security.${key} is ${kindOf(value)}: give a Buffer of exactly ${length} bytes`,
        { syscall },
      )
    }
    return copy(value)
  }
}

export function oneOrMore(check: Check): Check {
  return (key, value) => {
    if (!Array.isArray(value)) return check(key, value)
    return Object.freeze(value.map(each => check(key, each)))
  }
}

export function pem(key: string, value: unknown): unknown {
  if (typeof value === 'string' && value !== '') return value
  if (isView(value) && value.byteLength > 0) return copy(value)
  // A private key that was put into the wrong place must not be printed.
  throw invalid(
    `security.${key}`,
    typeof value === 'string' ? 'an empty string' : value,
    'give PEM text or a Buffer, or an array of them',
    syscall,
  )
}

export function withPassphrase(field: 'pem' | 'buf'): Check {
  return (key, value) => {
    if (typeof value !== 'object' || value === null || isView(value)) return pem(key, value)
    const own: Record<string, unknown> = Object.assign(Object.create(null), value)
    const { [field]: content, passphrase, ...others } = own
    const [other] = Object.keys(others)
    if (other !== undefined)
      throw invalid(
        `security.${key}`,
        value,
        `${other} is not known there; give {${field}, passphrase}`,
        syscall,
      )
    return Object.freeze({
      [field]: pem(`${key}.${field}`, content),
      ...(passphrase === undefined ? {} : { passphrase: text('passphrase', passphrase) }),
    })
  }
}

export function protocols(key: string, value: unknown): unknown {
  const valid = (each: unknown) =>
    typeof each === 'string' && each.length > 0 && Buffer.byteLength(each) <= 255
  if (!Array.isArray(value) || !value.every(valid)) {
    throw invalid(
      `security.${key}`,
      value,
      'give an array of protocol names of 1 to 255 bytes',
      syscall,
    )
  }
  const reserved = value.find(each => each.startsWith('secure-socket/'))
  if (reserved !== undefined) {
    throw invalid(`security.${key}`, reserved, 'names with secure-socket/ are our own', syscall)
  }
  return Object.freeze([...value])
}

/** Names of SRTP protection profiles; OpenSSL knows which there are. */
export function profiles(key: string, value: unknown): unknown {
  const valid = (each: unknown) => typeof each === 'string' && /^\w+$/.test(each)
  if (!Array.isArray(value) || !value.every(valid)) {
    throw invalid(
      `security.${key}`,
      value,
      'give an array of names of profiles, such as SRTP_AEAD_AES_128_GCM',
      syscall,
    )
  }
  return Object.freeze([...value])
}

export function plainObject(key: string, value: unknown): object {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || isView(value)) {
    throw new SocketSecurityError('EINVAL', `security.${key} is ${kindOf(value)}: give an object`, {
      syscall,
    })
  }
  return { ...value }
}

/** One that has lost its prototype is none: nobody can say any more where its bytes are. */
export function isView(value: unknown): value is NodeJS.ArrayBufferView {
  return ArrayBuffer.isView(value) && typeof value.byteLength === 'number'
}

export function copy(view: NodeJS.ArrayBufferView): Buffer {
  return Buffer.from(Buffer.from(view.buffer, view.byteOffset, view.byteLength))
}

const syscall = 'WSASetSocketSecurity'
