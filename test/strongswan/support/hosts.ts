/** The guest's hosts, as guest/hosts.sh makes them. The tests themselves run on host a. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Test } from 'tap'

export type HostName = 'a' | 'b' | 'c'
export type Family = 4 | 6

/** Of a host. */
export function addressOf(host: HostName, family: Family): string {
  const number = { a: 1, b: 2, c: 3 }[host]
  return family === 4 ? `10.9.0.${number}` : `fd09::${number}`
}

/** Every identity's name is a host's. */
export function nameOf(host: HostName): string {
  return `host/${host}.example`
}

/** How a host proves who it is: by its certificate, by a key that two hosts share, or not at all. */
export type Proof = 'certificate' | 'psk' | 'wrong psk' | 'none'

/** The settings of a socket on that host. */
export function securityOf(host: HostName, proof: Proof) {
  if (proof === 'none') return undefined
  const common = { protocol: 'ipsec', ipsec: { viciSocket: `/run/${host}/charon.vici` } } as const
  if (proof === 'certificate')
    return {
      ...common,
      cert: readFileSync(`/run/ca/${host}.pem`),
      key: readFileSync(`/run/ca/${host}.key`),
      ca: readFileSync('/run/ca/ca.pem'),
    }
  const key = Buffer.from(
    proof === 'psk' ? 'a secret of 32 bytes, for a test' : 'something else that is as long !!',
  )
  const others = (['a', 'b', 'c'] as const).filter(each => each !== host)
  const accepted = Object.fromEntries(others.map(each => [`${each}.example`, key]))
  return { ...common, psk: [{ identity: `${host}.example`, key }, accepted] as const }
}

/** `charon stop b` and the like: guest/charon has all of them. */
export function charon(
  action: 'start' | 'wait' | 'stop' | 'kill' | 'renew',
  host: HostName | '' = '',
): void {
  execFileSync('charon', [action, host], { stdio: ['ignore', 'inherit', 'inherit'] })
}

/** Where there are no such hosts, the file is skipped. */
export function needsGuest(t: Test): boolean {
  if (process.env.HOST === 'a') return true
  t.pass('a guest', { skip: 'run it by `node scripts/strongswan.mjs FILE`' })
  return false
}
