/**
 * What is asked of the IKE daemon: which packets it shall secure, with whom, and how. Made of the
 * settings of a socket and of its peer's name; nothing in here knows a socket or the protocol of
 * the daemon.
 */

export type Transport = 'tcp' | 'udp'

/** Whose packets. Addresses as text, without a zone; IPv4 never in the form ::ffff:a.b.c.d. */
export interface FiveTuple {
  readonly transport: Transport
  readonly localAddress: string
  readonly localPort: number
  readonly remoteAddress: string
  /** 0: every port of that address. */
  readonly remotePort: number
}

/** How this host proves who it is. */
export type Credential =
  | {
      readonly kind: 'certificate'
      /** DER, this host's own first. */
      readonly chain: readonly Buffer[]
      /** The private key in PEM or DER (PKCS#8, PKCS#1, SEC 1), without a passphrase; a new Buffer, which the caller overwrites. */
      readonly key: () => Buffer
    }
  | {
      readonly kind: 'psk'
      /** The secret that this host shares with `remoteId`; a new Buffer, which the caller overwrites. */
      readonly secret: () => Buffer
    }
  /** The daemon's own: whatever its administrator has given it for `localId`. */
  | { readonly kind: 'daemon'; readonly auth: 'pubkey' | 'psk' }

/** When keys are replaced. Absent: never for that reason. */
export interface Lifetimes {
  /** Seconds until the keys of the packets are replaced. */
  readonly rekeySeconds?: number
  /** Bytes until the keys of the packets are replaced. */
  readonly rekeyBytes?: number
  /** Seconds until the keys of the IKE association are replaced. */
  readonly ikeRekeySeconds?: number
  /** Seconds until the peers prove again who they are. */
  readonly reauthenticationSeconds?: number
  /** Seconds without a packet until the keys are thrown away. */
  readonly inactivitySeconds?: number
}

/** With whom, and how. Equal plans between the same addresses share one connection of the daemon. */
export interface ConnectionPlan {
  /** In the form that strongSwan reads: `fqdn:host.example`, `keyid:…`, a distinguished name…; `%any` only in the plan of a listener. */
  readonly localId: string
  /** The same for the peer; `%any` only in the plan of a listener. */
  readonly remoteId: string
  readonly credential: Credential
  /** The authorities, in DER, that may vouch for the peer; null for all that the daemon trusts. */
  readonly trust: readonly Buffer[] | null
  /** As strongSwan writes them, best first: `aes128gcm16-prfsha256-ecp256`. */
  readonly ikeProposals: readonly string[]
  /** With a group each, for perfect forward secrecy. */
  readonly espProposals: readonly string[]
  readonly lifetimes: Lifetimes
}

/** A socket's traffic with one peer. */
export interface FlowPlan extends FiveTuple {
  readonly connection: ConnectionPlan
}

/** What a socket accepts from whoever is trusted. */
export interface ListenerPlan {
  readonly transport: Transport
  /** `0.0.0.0` for every IPv4 address of this host, `::` for every address (IPv6 and, unless `ipv6Only`, IPv4). */
  readonly localAddress: string
  readonly localPort: number
  readonly ipv6Only?: boolean
  /** One per pre-shared key; else one. */
  readonly connections: readonly ConnectionPlan[]
}

/** What secures a flow now: the keys are in the kernel, and so is the policy that demands them. */
export interface Association {
  /** The identity that the peer has proved, as strongSwan prints it. */
  readonly remoteId: string
  readonly localId: string
  /** `IKEv2`. */
  readonly version: string
  /** As strongSwan names it: `AES_GCM_16-128`, `AES_CBC-256/HMAC_SHA2_256_128`. */
  readonly cipher: string
  /** False where packets are authenticated only. */
  readonly encrypted: boolean
  /** Since when these keys have been in use. */
  readonly since: Date
  /** The name that the peer had to prove: the `remoteId` of the plan that let it in; `%any` of a listener's. */
  readonly demandedId: string
  /** When they are replaced; absent where time does not tell. */
  readonly rekeyAfter?: Date
  /** When they end at the latest. */
  readonly expires?: Date
  /** Of this host's outgoing and incoming packets, as 8 hexadecimal digits. */
  readonly spis: { readonly out: string; readonly in: string }
  /** The daemon's number of the IKE association. */
  readonly ikeId: string
  /** The daemon's number of these keys; another one after they were replaced. */
  readonly childId: string
}

/** Whether they mean the same packets. */
export function isSameFlow(one: FiveTuple, other: FiveTuple): boolean {
  return (
    one.transport === other.transport &&
    one.localAddress === other.localAddress &&
    one.localPort === other.localPort &&
    one.remoteAddress === other.remoteAddress &&
    one.remotePort === other.remotePort
  )
}
