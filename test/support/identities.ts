/**
 * Ready identities for tests. Each is made once in a process, so a test file that needs ten of them
 * pays for the keys it has not seen.
 */
import { type Authority, createAuthority } from '../../src/identity/authority.js'
import { createIdentity, type Identity, type IdentityOptions } from '../../src/identity/identity.js'

const DAY_MS = 24 * 60 * 60 * 1000
/** One moment for all, so that equal requests find each other's result. */
const NOW = Date.now()

const authorities = new Map<string, Promise<Authority>>()
const identities = new Map<string, Promise<Identity>>()

/** The authority that the tests' peers trust. */
export function testAuthority(): Promise<Authority> {
  return authorityNamed('test authority')
}

/** An authority that no peer trusts unless it is told to. */
export function strangerAuthority(): Promise<Authority> {
  return authorityNamed('stranger authority')
}

/** An identity of the test authority; the names default to what loopback is called. */
export function testIdentity(
  names: readonly string[] = ['localhost', '127.0.0.1', '::1'],
  options: Omit<IdentityOptions, 'names' | 'authority'> = {},
): Promise<Identity> {
  return once(identities, JSON.stringify(['test', names, options]), async () =>
    createIdentity({ ...options, names, authority: await testAuthority() }),
  )
}

/** An identity whose authority nobody trusts. */
export function strangerIdentity(
  names: readonly string[] = ['localhost', '127.0.0.1', '::1'],
): Promise<Identity> {
  return once(identities, JSON.stringify(['stranger', names]), async () =>
    createIdentity({ names, authority: await strangerAuthority() }),
  )
}

/** An identity without authority, to be known by its pin. */
export function selfSignedIdentity(names: readonly string[] = ['localhost']): Promise<Identity> {
  return once(identities, JSON.stringify(['self', names]), () => createIdentity({ names }))
}

/** An identity of the test authority that ended yesterday. */
export function expiredIdentity(names?: readonly string[]): Promise<Identity> {
  return testIdentity(names, { notBefore: new Date(NOW - 2 * DAY_MS), days: 1 })
}

/** An identity of the test authority that begins tomorrow. */
export function futureIdentity(names?: readonly string[]): Promise<Identity> {
  return testIdentity(names, { notBefore: new Date(NOW + DAY_MS), days: 1 })
}

function authorityNamed(name: string): Promise<Authority> {
  return once(authorities, name, () => createAuthority({ name }))
}

function once<T>(cache: Map<string, T>, key: string, make: () => T): T {
  const made = cache.get(key) ?? make()
  cache.set(key, made)
  return made
}
