/** Which connections are the same but for addresses and identities, and whose children may stand in which. */
import { createHash } from 'node:crypto'
import type { ConnectionPlan } from '../plans/plans.js'
import { type CredentialName, credentialNameOf } from './loaded-credentials.js'
import {
  ANY,
  ANY_IPV4,
  ANY_IPV6,
  type ChildDescription,
  type ConnectionDescription,
} from './names.js'

/** The connection that a child with that plan belongs to. */
export function connectionFor(
  { localAddress, remoteAddress }: ChildDescription,
  plan: ConnectionPlan,
  credential: CredentialName,
): ConnectionDescription {
  const { localId, remoteId } = plan
  return { credential, likeness: likenessOf(plan), localAddress, remoteAddress, localId, remoteId }
}

/** What two connections must have in common so that a child may move from one to the other. */
function likenessOf(plan: ConnectionPlan): string {
  const { credential, trust, ikeProposals, espProposals, lifetimes } = plan
  const parts = [
    credential.kind,
    credential.kind === 'certificate' ? credential.chain.map(sha256) : [],
    trust?.map(sha256).sort() ?? null,
    ikeProposals,
    espProposals,
    lifetimes.ikeRekeySeconds ?? 0,
    lifetimes.reauthenticationSeconds ?? 0,
  ]
  return sha256(JSON.stringify(parts)).slice(0, 16)
}

function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}

/** A listener's own connection: for whoever calls. */
export function isHome({ remoteAddress }: ConnectionDescription): boolean {
  return remoteAddress === ANY
}

/**
 * Whether whoever comes in by `connection` may also be a peer of the listener at `home`. Where the
 * two differ in whom they trust or in what they demand, the listener's child must not stand there.
 */
export function admits(home: ConnectionDescription, connection: ConnectionDescription): boolean {
  return (
    home.credential === connection.credential &&
    home.likeness === connection.likeness &&
    includes(home.localAddress, connection.localAddress) &&
    ['%any', connection.localId].includes(home.localId) &&
    ['%any', connection.remoteId].includes(home.remoteId)
  )
}

function includes(home: string, address: string): boolean {
  if (home === address || home === ANY) return true
  if (home !== ANY_IPV4 && home !== ANY_IPV6) return false
  // It takes calls to both families: whose keys they are is found out by the addresses.
  if (address === ANY) return true
  return address !== ANY_IPV4 && address !== ANY_IPV6 && isIPv6(address) === (home === ANY_IPV6)
}

function isIPv6(address: string): boolean {
  return address.includes(':')
}

/** Whether that plan lets in whoever has come in by that connection. */
export function letsIn(plan: ConnectionPlan, connection: ConnectionDescription): boolean {
  const credential = credentialNameOf(plan)
  return (
    connection.likeness === likenessOf(plan) &&
    (credential === undefined || credential === connection.credential) &&
    ['%any', connection.localId].includes(plan.localId) &&
    ['%any', connection.remoteId].includes(plan.remoteId)
  )
}
