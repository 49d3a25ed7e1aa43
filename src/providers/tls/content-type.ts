/** The ContentTypes of TLS records (RFC 8446, section 5.1; heartbeat is RFC 6520). */
export const handshakeRecord = 22

/** Does a first byte belong to TLS: change_cipher_spec(20), alert(21), handshake(22), application_data(23), heartbeat(24)? */
export function isContentType(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 20 && byte <= 24
}
