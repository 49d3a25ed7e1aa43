/** The setting `psk`: our own pre-shared key, and those that we accept. */
import { invalid, kindOf, SocketSecurityError, show } from './errors.js'
import { copy, isView, plainObject } from './setting-values.js'

/** Our own pre-shared key: exactly these two. */
export interface OwnPsk<Key = NodeJS.ArrayBufferView> {
  readonly identity: string
  readonly key: Key
}
/** The pre-shared keys that we accept: by identity, or a function that looks them up. */
export type AcceptedPsk<Key = NodeJS.ArrayBufferView> =
  | Readonly<Record<string, Key>>
  | ((identity: string) => NodeJS.ArrayBufferView | null | undefined)

export interface ParsedPsk {
  readonly ownPsk?: OwnPsk
  readonly acceptedPsk?: AcceptedPsk
}

/** `{identity, key}` is our own, any other object or a function is what we accept, an array gives both. */
export function presharedKeys(key: string, value: unknown): ParsedPsk {
  const given: unknown[] = Array.isArray(value) ? value : [value]
  const own = given.filter(isOwnPsk)
  const accepted = given.filter(each => !isOwnPsk(each))
  if (given.length === 0 || own.length > 1 || accepted.length > 1) {
    throw new SocketSecurityError(
      'EINVAL',
      `security.${key} is ${kindOf(value)}: give our own {identity, key}, what we accept, or an array of the two`,
      { syscall },
    )
  }
  return {
    ...(own.length === 0 ? {} : { ownPsk: ownPsk(own[0] as OwnPsk) }),
    ...(accepted.length === 0 ? {} : { acceptedPsk: acceptedPsk(key, accepted[0]) }),
  }
}

function isOwnPsk(value: unknown): boolean {
  return typeof value === 'object' && value !== null && areOfOwnPsk(Object.keys(value))
}

/** Are these the members of a key of our own? Those of any other object are identities. */
export function areOfOwnPsk(names: readonly string[]): boolean {
  return names.length === 2 && names.includes('identity') && names.includes('key')
}

function ownPsk({ identity, key }: OwnPsk): OwnPsk {
  if (typeof identity !== 'string' || identity === '')
    throw invalid('security.psk.identity', identity, 'give a string', syscall)
  checkText('security.psk.identity', identity)
  return Object.freeze({ identity, key: pskKey('security.psk.key', key) })
}

function acceptedPsk(key: string, value: unknown): AcceptedPsk {
  if (typeof value === 'function') return value as AcceptedPsk
  plainObject(key, value)
  const entries = Object.entries(value as object).map(([identity, key]) => {
    checkText('an identity of security.psk', identity)
    return [identity, pskKey(`security.psk[${show(identity)}]`, key)]
  })
  if (entries.length === 0)
    throw invalid('security.psk', value, 'give at least one identity and key', syscall)
  // Without a prototype: an identity such as "constructor" finds nothing.
  return Object.freeze(
    Object.assign(Object.create(null), Object.fromEntries(entries)),
  ) as AcceptedPsk
}

/** Another text on the wire (cut at NUL, or with a lone surrogate replaced) would be another identity. */
function checkText(where: string, identity: string): void {
  if (/[\0\p{Cs}]/u.test(identity))
    throw invalid(where, identity, 'it may contain neither NUL nor half a surrogate pair', syscall)
}

function pskKey(where: string, key: unknown): Buffer {
  // The key itself is never shown.
  if (!isView(key) || key.byteLength === 0) {
    throw new SocketSecurityError(
      'EINVAL',
      `${where} must be a Buffer or typed array of at least one byte`,
      { syscall },
    )
  }
  return copy(key)
}

const syscall = 'WSASetSocketSecurity'
