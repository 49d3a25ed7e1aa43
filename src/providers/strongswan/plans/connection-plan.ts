/** With whom a socket of these settings negotiates, as whom, and how: what the IKE daemon is told. */
import { SocketSecurityError, show } from '../../../model/errors.js'
import type { ParsedSettings } from '../../../model/settings.js'
import type { TargetName } from '../../../model/target-name.js'
import { type Certified, certifiedBy, trustedAuthorities } from './given-credentials.js'
import { identityOf, ikeIdentity, MAX_PSK_IDENTITY_BYTES } from './identities.js'
import { lifetimesOf } from './lifetimes.js'
import type { ConnectionPlan, Credential } from './plans.js'
import { defaultEspProposals, defaultIkeProposals } from './proposals.js'

/** Whoever is trusted, and, of our own, whichever name the peer asks for. */
export const ANYBODY = '%any'

const syscall = 'WSASetSocketSecurity'

/**
 * The connection of a flow to a peer.
 * @param isSet the application set the name itself; else it is the host that it named
 * @throws SocketSecurityError ENOCREDENTIAL, EINVAL
 */
export function flowConnection(
  settings: ParsedSettings,
  name: TargetName,
  isSet: boolean,
): ConnectionPlan {
  const remoteId = ikeIdentity(name, settings)
  const { ownPsk } = settings
  // A key that is assigned to this very name proves it; our own has no name (R20).
  const key = acceptedKeys(settings).get(remoteId) ?? ownPsk?.key
  if (key !== undefined && key === ownPsk?.key && isSet) throw namelessKey(name)
  if (key !== undefined) return connection(settings, ownIdentity(settings), remoteId, psk(key))
  const certified = certifiedBy(settings)
  const credential = certified?.credential ?? ofDaemon(settings)
  return connection(settings, ownIdentity(settings, certified), remoteId, credential)
}

/**
 * The connections of a socket that others speak to first: one for each identity that they may ask
 * for, and one for each pre-shared key.
 * @throws SocketSecurityError ENOCREDENTIAL, EINVAL
 */
export function listenerConnections(settings: ParsedSettings): ConnectionPlan[] {
  const own = givenIdentity(settings)
  const byKey = [...acceptedKeys(settings)].map(([identity, key]) => {
    // A peer that shows us ourselves reflects what we say.
    if (identity === own) throw ownKeyAccepted(identity)
    return connection(settings, own ?? ANYBODY, identity, psk(key))
  })
  const certified = certifiedBy(settings)
  if (certified !== undefined) return [...byKey, ...byCertificate(settings, certified)]
  if (byKey.length > 0) return byKey
  // Our own key is for those whom we speak to first.
  if (settings.ownPsk !== undefined) throw nothingAccepted()
  return [connection(settings, ownIdentity(settings), ANYBODY, ofDaemon(settings))]
}

/** Can a socket of these settings be spoken to first? */
export function canListen(settings: ParsedSettings): boolean {
  const { cert, ownPsk, acceptedPsk, ipsec } = settings
  if (cert !== undefined || acceptedPsk !== undefined) return true
  return ownPsk === undefined && ipsec?.localIdentity !== undefined
}

function byCertificate(settings: ParsedSettings, certified: Certified): ConnectionPlan[] {
  const given = givenIdentity(settings)
  const names = given === undefined ? certified.names : [given]
  if (names.length === 0) throw nameless()
  return names.map(name => connection(settings, name, ANYBODY, certified.credential))
}

function connection(
  settings: ParsedSettings,
  localId: string,
  remoteId: string,
  credential: Credential,
): ConnectionPlan {
  const { ikeProposals, espProposals } = settings.ipsec ?? {}
  const isPsk = credential.kind === 'psk'
  return {
    localId,
    remoteId,
    credential,
    trust: isPsk ? null : trustedAuthorities(settings),
    ikeProposals: ikeProposals ?? defaultIkeProposals,
    espProposals: espProposals ?? defaultEspProposals,
    lifetimes: lifetimesOf(settings),
  }
}

/** The keys that we accept, by identity of IKE. */
function acceptedKeys({ acceptedPsk }: ParsedSettings): Map<string, NodeJS.ArrayBufferView> {
  const keys = typeof acceptedPsk === 'object' ? Object.entries(acceptedPsk) : []
  return new Map(keys.map(([identity, key]) => [pskIdentity(identity), key]))
}

function psk(key: NodeJS.ArrayBufferView): Credential {
  return {
    kind: 'psk',
    secret() {
      // In no pool: whoever overwrites it overwrites nothing else.
      const copy = Buffer.from(new ArrayBuffer(key.byteLength))
      copy.set(new Uint8Array(key.buffer, key.byteOffset, key.byteLength))
      return copy
    },
  }
}

function ofDaemon({ ipsec }: ParsedSettings): Credential {
  return { kind: 'daemon', auth: ipsec?.authentication ?? 'pubkey' }
}

/** Who we are by the settings' own words. */
function givenIdentity({ ipsec, ownPsk }: ParsedSettings): string | undefined {
  if (ipsec?.localIdentity !== undefined) return localIdentity(ipsec.localIdentity)
  return ownPsk && pskIdentity(ownPsk.identity)
}

function ownIdentity(settings: ParsedSettings, certified?: Certified): string {
  const given = givenIdentity(settings)
  if (given !== undefined) return given
  if (certified !== undefined) {
    const [first] = certified.names
    if (first === undefined) throw nameless()
    return first
  }
  if (settings.acceptedPsk !== undefined)
    throw new SocketSecurityError(
      'ENOCREDENTIAL',
      'security.psk says whose keys are accepted and not who we are: give security.ipsec.localIdentity',
      { syscall },
    )
  throw new SocketSecurityError(
    'ENOCREDENTIAL',
    'IPsec on Linux needs security.cert and security.key, or psk, or ipsec.localIdentity to prove it by what the IKE daemon has',
    { syscall },
  )
}

/** @throws SocketSecurityError EINVAL */
export function localIdentity(text: string): string {
  return identityOf(text, why => invalid(`security.ipsec.localIdentity is ${show(text)}: ${why}`))
}

/** @throws SocketSecurityError EINVAL */
export function pskIdentity(text: string): string {
  const error = (why: string) =>
    invalid(`an identity of security.psk is ${show(text)}, which IKE cannot use: ${why}`)
  const identity = identityOf(text, error)
  if (identity.length > MAX_PSK_IDENTITY_BYTES)
    throw error(`it is longer than ${MAX_PSK_IDENTITY_BYTES} bytes`)
  return identity
}

function invalid(message: string): SocketSecurityError {
  return new SocketSecurityError('EINVAL', message, { syscall })
}

function namelessKey(name: TargetName): SocketSecurityError {
  return new SocketSecurityError(
    'EINVAL',
    `security.psk cannot prove the target name ${show(name.text)}: our own key has no name; accept a key of that name (psk: {[name]: key}), leave the target name away, or use certificates`,
    { syscall },
  )
}

function nameless(): SocketSecurityError {
  return new SocketSecurityError(
    'ENOCREDENTIAL',
    'security.cert has neither a DNS name nor an address: say by security.ipsec.localIdentity as whom IKE shall use it, such as its subject "C=CH, CN=db"',
    { syscall },
  )
}

function ownKeyAccepted(identity: string): SocketSecurityError {
  return new SocketSecurityError(
    'EINVAL',
    `security.psk accepts ${show(identity)}, which is our own identity: give each peer its own`,
    { syscall },
  )
}

function nothingAccepted(): SocketSecurityError {
  return new SocketSecurityError(
    'ENOCREDENTIAL',
    'others cannot speak to us first: security.psk is our own key only; give the keys that are accepted too, or cert and key',
    { syscall },
  )
}
