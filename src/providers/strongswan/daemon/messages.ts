/** What load-conn is told: our plans in the daemon's words. */
import { createHash, X509Certificate } from 'node:crypto'
import type { ConnectionPlan, Credential, Transport } from '../plans/plans.js'
import type { Message } from '../vici/section.js'
import {
  ANY,
  ANY_IPV4,
  ANY_IPV6,
  type ChildDescription,
  type GuardDescription,
  guardName,
} from './names.js'
import { dynamicSelector, everySelector, selector } from './selectors.js'

/** Seconds of silence until the daemon asks whether its peer still lives. */
const DPD_SECONDS = 20

/**
 * Drops whatever has no keys, in both directions, below all policies that ask for keys. A connection
 * of its own, so that no reloading of others can ever touch it. The canary's port stands first:
 * strongSwan takes the policies of a child away in that order.
 */
export function guardMessage(guard: GuardDescription, canaryPort: number): Message {
  const { owner, transport, localAddress, localPort } = guard
  const name = guardName(owner, transport, localAddress, localPort)
  const every = localAddress === ANY
  const own = (transport: Transport, port: number) =>
    every ? everySelector(transport, port) : [selector(localAddress, transport, port)]
  const peers = (transport: Transport) =>
    everySelector(transport, 0).filter(
      each => every || each.startsWith(':') === localAddress.includes(':'),
    )
  const child = {
    mode: 'drop',
    start_action: 'trap',
    local_ts: [...own('udp', canaryPort), ...own(transport, localPort)],
    remote_ts: transport === 'udp' ? peers('udp') : [...peers('udp'), ...peers(transport)],
  }
  // No peer can be let in by it: its own address is one that nobody has (RFC 5737).
  const nobody = { local_addrs: ['192.0.2.0'], remote_addrs: ['192.0.2.0'] }
  const auth = { auth: 'pubkey' }
  return {
    [name]: { version: 2, ...nobody, local: auth, remote: auth, children: { [name]: child } },
  }
}

const ranges: Readonly<Record<string, string>> = {
  [ANY]: '%any',
  [ANY_IPV4]: '0.0.0.0/0',
  [ANY_IPV6]: '::/0',
}

/** @param children by name */
export function connectionMessage(
  name: string,
  plan: ConnectionPlan,
  { localAddress, remoteAddress }: { localAddress: string; remoteAddress: string },
  children: ReadonlyMap<string, ChildDescription>,
): Message {
  const { ikeRekeySeconds = 0, reauthenticationSeconds = 0 } = plan.lifetimes
  const described = [...children].map(([child, description]) => [
    child,
    childMessage(child, description, plan.espProposals),
  ])
  return {
    [name]: {
      version: 2,
      local_addrs: [ranges[localAddress] ?? localAddress],
      remote_addrs: [ranges[remoteAddress] ?? remoteAddress],
      proposals: plan.ikeProposals,
      // A host has as many sockets as it likes, and each may have keys of its own.
      unique: 'never',
      mobike: false,
      dpd_delay: `${DPD_SECONDS}s`,
      rekey_time: `${ikeRekeySeconds}s`,
      reauth_time: `${reauthenticationSeconds}s`,
      over_time: `${graceSeconds(name, ikeRekeySeconds)}s`,
      send_cert: 'always',
      local: localMessage(plan),
      remote: remoteMessage(plan),
      children: Object.fromEntries(described),
    },
  }
}

function localMessage({ credential, localId }: ConnectionPlan): Message {
  const certs = credential.kind === 'certificate' ? credential.chain.filter(isNoRoot) : undefined
  return { auth: authOf(credential), id: localId === '%any' ? undefined : localId, certs }
}

/** strongSwan trusts whatever signs itself, wherever it got it from. */
function isNoRoot(der: Buffer, index: number): boolean {
  if (index === 0) return true
  const certificate = new X509Certificate(der)
  return !certificate.checkIssued(certificate)
}

function remoteMessage({ credential, remoteId, trust }: ConnectionPlan): Message {
  const id = remoteId === '%any' ? undefined : remoteId
  const cacerts = trust === null ? undefined : trust
  return { auth: authOf(credential), id, cacerts }
}

function authOf(credential: Credential): string {
  if (credential.kind === 'daemon') return credential.auth
  return credential.kind === 'certificate' ? 'pubkey' : 'psk'
}

function childMessage(
  name: string,
  child: ChildDescription,
  espProposals: readonly string[],
): Message {
  const { kind, transport, localAddress, localPort, remoteAddress, remotePort } = child
  return {
    mode: 'transport',
    esp_proposals: espProposals,
    local_ts: [
      kind === 'listener'
        ? dynamicSelector(transport, localPort)
        : selector(localAddress, transport, localPort),
    ],
    remote_ts: [
      kind === 'listener'
        ? dynamicSelector(transport, 0)
        : selector(remoteAddress, transport, remotePort),
    ],
    // A listener waits for its peers; what it sends without keys is dropped by its guard.
    start_action: kind === 'flow' ? 'trap' : 'none',
    rekey_time: `${child.rekeySeconds}s`,
    rekey_bytes: child.rekeyBytes,
    rekey_packets: distinction(name),
    inactivity: `${child.inactivitySeconds}s`,
  }
}

/**
 * How long after it should have been renewed an IKE association ends. strongSwan uses that of another
 * connection where the two differ in nothing but what their children propose, and then its name
 * tells nothing of what was demanded. So each connection has a time of its own.
 */
function graceSeconds(name: string, rekeySeconds: number): number {
  return Math.ceil(rekeySeconds / 10) + (distinction(name) % 1000)
}

/**
 * strongSwan takes children for the same that differ in nothing but their names, and then forgets
 * the trap of one of them. So each has a limit of its own that is never reached.
 */
function distinction(name: string): number {
  const digest = createHash('sha256').update(name).digest()
  return 2 ** 50 + digest.readUIntBE(0, 6)
}
