/**
 * Keys and secrets in the daemon. It has one store for everybody, so they are given to it under
 * names from which every process of the host can tell who still needs them: the names of the
 * connections contain them.
 */
import { createHash } from 'node:crypto'
import { SocketSecurityError } from '../../../model/errors.js'
import type { ConnectionPlan } from '../plans/plans.js'
import { listOf, textOf } from '../vici/section.js'
import type { Link } from './link.js'
import { secretTag } from './shared-secret-tag.js'

/**
 * - `k…`: a private key that we have given to the daemon, by its identifier there
 * - `a…`: one that the daemon had already, which stays
 * - `p….…`: a secret shared with one peer, by the peer and the secret
 * - `d…`: whatever the daemon has
 */
export type CredentialName = string

/**
 * Gives the daemon what the plan needs, where it has not got it already. To be called again after
 * the daemon was restarted, or was told by somebody else to forget.
 * @param inUse the names of all credentials that connections of ours are using
 */
export async function loadCredential(
  link: Link,
  { credential, remoteId }: ConnectionPlan,
  inUse: ReadonlySet<CredentialName>,
): Promise<CredentialName> {
  if (credential.kind === 'daemon') return `d${credential.auth}`
  const data = credential.kind === 'psk' ? credential.secret() : credential.key()
  try {
    return credential.kind === 'psk'
      ? await loadSecret(link, data, remoteId)
      : await loadKey(link, data, inUse)
  } finally {
    data.fill(0)
  }
}

async function loadSecret(link: Link, data: Buffer, remoteId: string): Promise<CredentialName> {
  const name = secretName(data, remoteId)
  // Only the peer's identity owns it: strongSwan takes a secret for either owner's, and what this
  // host shares with one peer must not let another one in.
  await link.request('load-shared', { id: sharedId(name), type: 'IKE', data, owners: [remoteId] })
  return name
}

async function loadKey(
  link: Link,
  data: Buffer,
  inUse: ReadonlySet<CredentialName>,
): Promise<CredentialName> {
  const before = listOf(await link.request('get-keys'), 'keys')
  const id = textOf(await link.request('load-key', { type: 'any', data }), 'id')
  if (id === undefined)
    throw new SocketSecurityError('EPROTO', 'strongSwan has loaded a key and gives it no id')
  return before.includes(id) && !inUse.has(`k${id}`) ? `a${id}` : `k${id}`
}

/** What the plan's credential is called; undefined of certificates: the daemon gives their name. */
export function credentialNameOf({
  credential,
  remoteId,
}: ConnectionPlan): CredentialName | undefined {
  if (credential.kind === 'daemon') return `d${credential.auth}`
  if (credential.kind === 'certificate') return undefined
  const data = credential.secret()
  try {
    return secretName(data, remoteId)
  } finally {
    data.fill(0)
  }
}

/** Makes the daemon forget what no connection of ours uses any more. */
export async function unloadCredential(link: Link, name: CredentialName): Promise<void> {
  if (name.startsWith('k')) await link.request('unload-key', { id: name.slice(1) })
  if (name.startsWith('p')) await link.request('unload-shared', { id: sharedId(name) })
}

/**
 * Other secrets for the same peer. strongSwan takes whichever it has, for any connection with that
 * peer; so there must be one at a time.
 */
export function rivalsOf(
  plan: ConnectionPlan,
  inUse: ReadonlySet<CredentialName>,
): CredentialName[] {
  const own = plan.credential.kind === 'psk' ? credentialNameOf(plan) : undefined
  const [peer] = own?.split('.') ?? []
  return [...inUse].filter(each => each !== own && each.startsWith(`${peer}.`))
}

export function anotherSecret(remoteId: string): SocketSecurityError {
  return new SocketSecurityError(
    'ENOCREDENTIAL',
    `another pre-shared key for ${remoteId} is in use on this host: strongSwan would take either for this peer; use the same key in all programs, and change it when none of them has a socket to that peer`,
  )
}

function secretName(secret: Buffer, remoteId: string): CredentialName {
  return `p${digest(remoteId)}.${secretTag(secret, remoteId)}`
}

function sharedId(name: CredentialName): string {
  return `secure-socket-${name}`
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}
