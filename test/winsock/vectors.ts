/**
 * What the structures of the secure socket extensions look like in memory on 64-bit Windows, written
 * by hand from Microsoft's documentation and headers: no encoder of ours has a part in it. Little
 * endian, but for ports and addresses; GUIDs are mixed; texts are UTF-16 without an end.
 */

/** A line is the bytes of one field, and after two spaces its name. PORT is a port in network order. */
function vector(lines: string): (port?: number) => string {
  const bytes = lines
    .split('\n')
    .map(line => line.trim().split(/ {2,}/)[0])
    .join('')
    .replaceAll(' ', '')
  return (port = 0) => bytes.replaceAll('PORT', port.toString(16).padStart(4, '0'))
}

function zeros(count: number): string {
  return '00'.repeat(count)
}

/** SOCKET_SECURITY_SETTINGS_IPSEC where nothing is set but the protocol: 88 bytes. */
export const encrypting = vector(`
  01000000  SecurityProtocol: SOCKET_SECURITY_PROTOCOL_IPSEC
  01000000  SecurityFlags: SOCKET_SETTINGS_GUARANTEE_ENCRYPTION
  00000000  IpsecFlags: none
  ${zeros(72)}  policies, reserved fields, lengths: none
  00000000  AllStrings: none
`)

/** The same with everything: the texts begin at 84, and an end of 4 bytes follows them. */
export const everything = {
  settings: {
    protocol: 'ipsec',
    ipsec: {
      mainModePolicy: '01234567-89ab-cdef-0123-456789abcdef',
      quickModePolicy: 'fedcba98-7654-3210-fedc-ba9876543210',
      userName: 'Ann',
      domainName: 'CORP',
      password: 'pa€',
      skipFilterInstantiation: true,
      optionalPeerNameVerification: true,
    },
  },
  bytes: vector(`
    01000000  SecurityProtocol: SOCKET_SECURITY_PROTOCOL_IPSEC
    01000000  SecurityFlags: SOCKET_SETTINGS_GUARANTEE_ENCRYPTION
    03000000  IpsecFlags: SKIP_FILTER_INSTANTIATION 1, OPTIONAL_PEER_NAME_VERIFICATION 2
    67452301 ab89 efcd 0123456789abcdef  AuthipMMPolicyKey
    98badcfe 5476 1032 fedcba9876543210  AuthipQMPolicyKey
    ${zeros(16)}  Reserved
    00000000  padding
    ${zeros(8)}  Reserved2
    06000000  UserNameStringLen, in bytes
    08000000  DomainNameStringLen
    06000000  PasswordStringLen
    41006e006e00  AllStrings: Ann
    43004f0052005000  CORP
    70006100ac20  pa€
    00000000  the end
  `),
} as const

/** The flags that stand for the other settings: without the policies and texts, which are zero then. */
export const otherFlags = {
  settings: {
    protocol: 'ipsec',
    guaranteeEncryption: false,
    ipsec: { allowFirstInboundPacketUnencrypted: true, rawPeerName: true },
  },
  bytes: vector(`
    01000000  SecurityProtocol: SOCKET_SECURITY_PROTOCOL_IPSEC
    00000000  SecurityFlags: none
    0c000000  IpsecFlags: ALLOW_FIRST_INBOUND_PKT_UNENCRYPTED 4, PEER_NAME_IS_RAW_FORMAT 8
    ${zeros(16)}  AuthipMMPolicyKey
    ${zeros(16)}  AuthipQMPolicyKey
    ${zeros(16)}  Reserved
    00000000  padding
    ${zeros(8)}  Reserved2
    00000000  UserNameStringLen
    00000000  DomainNameStringLen
    00000000  PasswordStringLen
    00000000  AllStrings: none; the structure ends at 88
  `),
} as const

/** SOCKET_PEER_TARGET_NAME, the text from 140 on: `host/a.example` at 127.0.0.1. */
export const nameOfPeer4 = vector(`
  02000000  SecurityProtocol: SOCKET_SECURITY_PROTOCOL_IPSEC2
  00000000  padding
  0200 PORT 7f000001 ${zeros(120)}  PeerAddress: SOCKADDR_IN in 128 bytes
  1c000000  PeerTargetNameStringLen, in bytes
  68006f00730074002f0061002e006500780061006d0070006c006500  host/a.example
  00000000  the end
`)

/** The same at ::1. */
export const nameOfPeer6 = vector(`
  02000000  SecurityProtocol: SOCKET_SECURITY_PROTOCOL_IPSEC2
  00000000  padding
  1700 PORT 00000000  SOCKADDR_IN6: family, port, flow
  00000000000000000000000000000001 00000000  address, scope
  ${zeros(100)}  to 128 bytes
  1c000000  PeerTargetNameStringLen, in bytes
  68006f00730074002f0061002e006500780061006d0070006c006500  host/a.example
  00000000  the end
`)

/** The address of 127.0.0.1, as WSADeleteSocketPeerTargetName takes it: SOCKADDR_STORAGE. */
export const address4 = vector(`0200 PORT 7f000001 ${zeros(120)}`)

/** SOCKET_SECURITY_QUERY_TEMPLATE_IPSEC2 about 127.0.0.1, up to the wanted rights to its tokens. */
export const templateOfPeer4 = vector(`
  02000000  SecurityProtocol: SOCKET_SECURITY_PROTOCOL_IPSEC2
  00000000  padding
  0200 PORT 7f000001 ${zeros(120)}  PeerAddress: SOCKADDR_IN in 128 bytes
`)

/** What a socket with these settings needs to be told beside them: raw names have no default. */
export function nameFor(settings: object): { peerTargetName?: string } {
  return settings === otherFlags.settings ? { peerTargetName: 'CORP\\Ann' } : {}
}
