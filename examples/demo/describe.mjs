/** What a socket knows of its peer, as plain data. A socket of node:net knows an address. */
export async function describe(socket) {
  const address = `${socket.remoteAddress}:${socket.remotePort}`
  const info = await socket.querySecurity?.()
  if (!info) return { address, secured: false }
  const { secured, encrypted, version, cipher, expires, peer } = info
  return {
    address,
    secured,
    encrypted,
    version,
    cipher,
    expires: expires?.toISOString().slice(0, 10),
    targetName: peer?.targetName,
    names: peer?.names ?? [],
    pin: peer?.pin,
  }
}
