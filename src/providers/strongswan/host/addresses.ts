/**
 * Addresses as the IKE daemon and the kernel's policies know them, and those that neither can do
 * anything about.
 */
import { networkInterfaces } from 'node:os'
import { SocketSecurityError } from '../../../model/errors.js'
import { peerText } from '../../../model/peer-text.js'
import { canonicalAddress } from '../../../model/target-name.js'
import type { FiveTuple } from '../plans/plans.js'

/** Without a zone, and IPv4 never as ::ffff:a.b.c.d. */
export function plainAddress(address: string): string {
  return canonicalAddress(withoutZone(address))
}

/** Are the packets of `tuple` among those of `flow`, of which port 0 stands for all? */
export function covers(flow: FiveTuple, tuple: FiveTuple): boolean {
  return (
    flow.transport === tuple.transport &&
    plainAddress(flow.localAddress) === tuple.localAddress &&
    plainAddress(flow.remoteAddress) === tuple.remoteAddress &&
    [0, tuple.localPort].includes(flow.localPort) &&
    [0, tuple.remotePort].includes(flow.remotePort)
  )
}

/** An address that stands for all of a family. */
export function isUnspecified(address: string): boolean {
  return address === '' || address === '0.0.0.0' || plainAddress(address) === '::'
}

/**
 * Linux sends what goes to one of the host's own addresses through its loopback interface, and there
 * it applies no IPsec policy: it is neither secured nor held back.
 * @param remote as `local` a plain address
 * @throws SocketSecurityError EOPNOTSUPP
 */
export function checkNotOwn(remote: string, local: string, port: number): void {
  if (!isOwnAddress(remote, local)) return
  const peer = peerText(remote, port)
  throw new SocketSecurityError(
    'EOPNOTSUPP',
    `${peer} is this host itself: Linux applies no IPsec policy to what it sends to its own addresses, so nothing would be secured; use protocol 'tls' there, or another host`,
    { peer },
  )
}

/**
 * Nobody could be served there in a secure way.
 * @throws SocketSecurityError EOPNOTSUPP
 */
export function checkListenAddress(address: string): void {
  if (!isLoopback(plainAddress(address))) return
  throw new SocketSecurityError(
    'EOPNOTSUPP',
    `${address} is of the loopback interface, where Linux applies no IPsec policy: listen on an address that others reach, or on all, or use protocol 'tls'`,
  )
}

/**
 * strongSwan's daemon speaks to a link-local address without saying on which link, so nobody hears it;
 * and a policy has no link, so hosts of two links could not be told apart.
 * @param remote an address
 * @throws SocketSecurityError EOPNOTSUPP
 */
export function checkNotLinkLocal(remote: string, port: number): void {
  if (!/^fe[89ab]/i.test(remote)) return
  const peer = peerText(remote, port)
  throw new SocketSecurityError(
    'EOPNOTSUPP',
    `${peer} is a link-local address, which strongSwan cannot negotiate with: give the peer a global or a unique local address`,
    { peer },
  )
}

function isOwnAddress(remote: string, local: string): boolean {
  if (remote === local || isLoopback(remote) || isLoopback(local)) return true
  // A packet can have another source than the address that it goes to.
  return Object.values(networkInterfaces()).some(addresses =>
    addresses?.some(({ address }) => plainAddress(address) === remote),
  )
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1'
}

function withoutZone(address: string): string {
  return address.replace(/%.*$/, '')
}
