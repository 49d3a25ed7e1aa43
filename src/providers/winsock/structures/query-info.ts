/** SOCKET_SECURITY_QUERY_INFO and _IPSEC2: what Windows answers about a socket's security. */

export interface QueryInfo {
  /** SOCKET_INFO_CONNECTION_…, as answered. */
  readonly flags: number
  readonly secured: boolean
  readonly encrypted: boolean
  readonly impersonated: boolean
  /** PeerApplicationAccessTokenHandle; 0: none. */
  readonly userToken: number
  /** PeerMachineAccessTokenHandle; 0: none. */
  readonly machineToken: number
  /** What only SOCKET_SECURITY_QUERY_INFO_IPSEC2 has (Windows 7 and later). */
  readonly ipsec2?: {
    readonly mmSaId: bigint
    readonly qmSaId: bigint
    /** NegotiationWinerr; 0: none. */
    readonly negotiationError: number
    /** SaLookupContext, as a GUID in lower case. */
    readonly saLookupContext: string
  }
}
