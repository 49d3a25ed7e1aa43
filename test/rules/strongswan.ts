/**
 * What the strongSwan provider's subjects have in common in the table of rules: clients on host a of
 * test/strongswan's guest, servers on host b, and a kernel that really secures what is between them.
 */
import type { Test } from 'tap'
import { swanctl } from '../strongswan/support/administrator.js'
import { expiredIdentity, strangerIdentity, testIdentity } from '../support/identities.js'
import { until } from '../support/until.js'
import { remotePeer } from './remote.js'
import { type Ends, HOST, type Impostor, type Tap } from './subject.js'

/** Only there can it be shown. */
export const inGuest = process.env.HOST === 'a'

const CLIENT_NAMES = ['client.example']
/** As few as will do: each is a connection of the daemon. */
const SERVER_NAMES = ['db.example.com', HOST]

export async function serverSettings() {
  return { protocol: 'ipsec', ...(await testIdentity(SERVER_NAMES)) } as const
}

export async function clientSettings() {
  const { cert, key, ca } = await testIdentity(CLIENT_NAMES)
  return { protocol: 'ipsec', cert, key, ca } as const
}

export async function defaults() {
  const security = await clientSettings()
  return {
    server: await serverSettings(),
    clients: [{ security }, { security: { ...security, ipsec: {} } }],
  }
}

/** Peers of IKE always prove who they are. */
export async function mutual(): Promise<Ends> {
  return { client: await clientSettings(), server: await serverSettings(), names: CLIENT_NAMES }
}

export async function choice() {
  const client = {
    ...(await clientSettings()),
    ipsec: { espProposals: ['aes256gcm16-ecp384'] },
  } as const
  return { client, info: { cipher: 'AES_GCM_16-256' } }
}

export const impostors: readonly Impostor[] = [
  {
    title: 'an authority that nobody trusts vouches for it',
    code: /^(UNABLE_TO_GET_ISSUER_CERT_LOCALLY|ERR_PEER_NOT_AUTHENTICATED)$/,
    prepare: () => serverOf(strangerIdentity(SERVER_NAMES)),
  },
  {
    title: 'its certificate has expired',
    code: /^(CERT_HAS_EXPIRED|ERR_PEER_NOT_AUTHENTICATED)$/,
    prepare: () => serverOf(expiredIdentity(SERVER_NAMES)),
  },
]

async function serverOf(identity: ReturnType<typeof testIdentity>) {
  const { cert, key } = await identity
  const { ca } = await testIdentity(CLIENT_NAMES)
  return { protocol: 'ipsec', cert, key, ca } as const
}

/**
 * Waits until the servers that have been closed are unknown to the other host's daemon, and ends the
 * IKE associations of this one: strongSwan would put the flow to another server into one of them.
 */
export async function forget(): Promise<void> {
  const isForgotten = () => !swanctl('b', ['--list-conns']).includes('_listener_')
  await until('the servers of before are unknown', isForgotten, 60_000)
  const listed = swanctl('a', ['--list-sas'])
  for (const [, number = ''] of listed.matchAll(/^\S+: #(\d+), /gm))
    swanctl('a', ['--terminate', '--force', '--ike-id', number])
}

/** What reaches the other host in clear: of what is secured the kernel shows nothing. */
export async function clearTap(t: Test, kind: 'stream' | 'datagram'): Promise<Tap> {
  const peer = await remotePeer(t, kind, 'is silent')
  return {
    get port() {
      return peer.port
    },
    get contacts() {
      return peer.contacts
    },
    toServer: () => peer.received,
    toClient: () => Buffer.alloc(0),
  }
}
