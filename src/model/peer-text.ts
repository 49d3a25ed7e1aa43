/** A peer's address and port as they stand in messages: `1.2.3.4:5`, `[::1]:5`. */
export function peerText(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
