/**
 * Constants of mstcpip.h, and which of Winsock's protocols each structure that we send names.
 */

/** SOCKET_SECURITY_PROTOCOL */
export const SOCKET_SECURITY_PROTOCOL_DEFAULT = 0
export const SOCKET_SECURITY_PROTOCOL_IPSEC = 1
export const SOCKET_SECURITY_PROTOCOL_IPSEC2 = 2

/** SecurityFlags of the settings. */
export const SOCKET_SETTINGS_GUARANTEE_ENCRYPTION = 1
export const SOCKET_SETTINGS_ALLOW_INSECURE = 2

/** IpsecFlags of the settings. */
export const SOCKET_SETTINGS_IPSEC_SKIP_FILTER_INSTANTIATION = 1
export const SOCKET_SETTINGS_IPSEC_OPTIONAL_PEER_NAME_VERIFICATION = 2
export const SOCKET_SETTINGS_IPSEC_ALLOW_FIRST_INBOUND_PKT_UNENCRYPTED = 4
export const SOCKET_SETTINGS_IPSEC_PEER_NAME_IS_RAW_FORMAT = 8

/** FieldMask of a query template. */
export const SOCKET_QUERY_IPSEC2_FIELD_MASK_MM_SA_ID = 1
export const SOCKET_QUERY_IPSEC2_FIELD_MASK_QM_SA_ID = 2

/** Flags of what a query answers. */
export const SOCKET_INFO_CONNECTION_SECURED = 1
export const SOCKET_INFO_CONNECTION_ENCRYPTED = 2
export const SOCKET_INFO_CONNECTION_IMPERSONATED = 4

/** SOCKET_SECURITY_SETTINGS_IPSEC: "must be set to SOCKET_SECURITY_PROTOCOL_IPSEC", says its documentation. */
export const SETTINGS_PROTOCOL = SOCKET_SECURITY_PROTOCOL_IPSEC

/**
 * SOCKET_PEER_TARGET_NAME: its documentation counts the name in bytes, an example of Microsoft's
 * counts characters, and code that is in use counts bytes with IPSEC2 and characters with the
 * older protocols. So IPSEC2 and bytes are what both the documentation and that code say.
 */
export const NAME_PROTOCOL = SOCKET_SECURITY_PROTOCOL_IPSEC2
