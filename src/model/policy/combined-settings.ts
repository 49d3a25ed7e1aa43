/**
 * R10: what the application does not set comes from the policy, and what it sets wins only where the
 * policy allows it.
 *
 * Settings that serve one purpose go together. An application that brings a key of its own has another
 * identity, even where the policy's was a PKCS#12 archive; one that brings pre-shared keys trusts
 * others, even where the policy named an authority. And where a policy exists, a setting that makes a
 * socket weaker than the library's default needs its permission, even if it says nothing about it.
 */
import { isDeepStrictEqual } from 'node:util'
import { SocketSecurityError } from '../errors.js'
import type { AnySettings, SocketKind } from '../settings.js'
import type { Policy, PolicySettings } from './policy.js'
import { ofProtocol } from './protocol-settings.js'

/** What decides which daemon of the host secures packets, and how. */
const ofDaemon: ReadonlySet<string> = new Set(['viciSocket', 'ikeProposals', 'espProposals'])

/** Which of its roles a stream has. */
export type Use = 'client' | 'server'

/** What is one thing to an administrator: to set one of it is to set it. */
const groups = [
  ['cert', 'key', 'pfx', 'passphrase', 'psk'],
  ['ca', 'psk'],
] as const

/**
 * Settings as an application writes them, with the policy's among them; files are URLs.
 * @throws SocketSecurityError ERR_POLICY_FORBIDS
 */
export function combinedSettings(
  policy: Policy,
  application: AnySettings,
  kind: SocketKind,
  use: Use,
): Readonly<Record<string, unknown>> {
  const all = kind === 'datagram' ? policy.settings.datagram : policy.settings[use]
  const own = ofProtocol(all, application.protocol)
  const combined: Record<string, unknown> = Object.assign(Object.create(null), own)
  const given = Object.entries(application).filter(([key, value]) => isSet(key, value))
  for (const [key, value] of given) {
    const reason = objection(policy, own, key, value, kind)
    if (reason !== undefined) throw forbidden(policy, `security.${key}`, key, reason)
  }
  // Its own identity replaces the policy's, whatever that consists of.
  for (const [key] of given) for (const other of together(key)) delete combined[other]
  for (const [key, value] of given) combined[key] = value
  return combined
}

/** `'default'` asks for nothing: it keeps the application neutral. */
function isSet(key: string, value: unknown): boolean {
  return value !== undefined && !(key === 'protocol' && value === 'default')
}

/** Why the application may not set that; undefined where it may. */
function objection(
  policy: Policy,
  own: PolicySettings<AnySettings>,
  key: string,
  value: unknown,
  kind: SocketKind,
): string | undefined {
  if (mayApplicationSet(policy, key)) return undefined
  const settings = own as Record<string, unknown>
  if (Object.hasOwn(settings, key))
    return isDeepStrictEqual(settings[key], value) ? undefined : 'the policy sets it'
  const other = together(key).find(each => Object.hasOwn(settings, each))
  if (other !== undefined) return `the policy sets ${other}, which it goes together with`
  return isWeaker(key, value, kind) ? 'it is weaker than the default' : undefined
}

function together(key: string): readonly string[] {
  return groups.filter(group => (group as readonly string[]).includes(key)).flat()
}

/** Ciphers, algorithms and groups cannot be compared: whether a list is weaker is for the administrator to say. */
function isWeaker(key: string, value: unknown, kind: SocketKind): boolean {
  switch (key) {
    case 'allowInsecure':
      return value === true
    // A path is one more place for the secrets.
    case 'keylog':
      return value !== false
    case 'guaranteeEncryption':
    case 'rejectUnauthorized':
      return value === false
    case 'requestCert':
      return value === false && kind === 'datagram'
    // Each of its switches lets the system ask for less, and so may algorithms and another daemon;
    // its own policies and accounts are the system's.
    case 'ipsec':
      return Object.entries(value as object).some(
        ([name, each]) => (each === true && name !== 'rawPeerName') || ofDaemon.has(name),
      )
    case 'ciphers':
    case 'sigalgs':
    case 'ecdhCurve':
      return true
    default:
      return false
  }
}

/** Is that setting, or `peerTargetName`, among those that the policy leaves to the application? */
export function mayApplicationSet({ applicationMaySet }: Policy, key: string): boolean {
  return applicationMaySet === true || applicationMaySet.has(key)
}

/** ERR_POLICY_FORBIDS, naming the setting and the file (R10). */
export function forbidden(policy: Policy, what: string, key: string, why: string): Error {
  return new SocketSecurityError(
    'ERR_POLICY_FORBIDS',
    `${what} cannot be set here, since ${why}: leave it out, or let the administrator add "${key}" to applicationMaySet in ${policy.file}`,
    { syscall: 'WSASetSocketSecurity' },
  )
}
