/** How settings and names may have to be written: what is sent in more than one way. */
import { type Check, type Peer, peerOf } from './question.js'
import type { SettingsName } from './server.js'
import type { Protocol, Unit } from './variants.js'

/** How settings and names may have to be written. */
export interface Spelling {
  readonly what: string
  readonly settings: Exclude<SettingsName, 'none'>
  readonly protocol: Protocol
  readonly unit: Unit
}

export const ours: Spelling = {
  what: 'this library',
  settings: 'SETTINGS_IPSEC IPSEC',
  protocol: 'IPSEC2',
  unit: 'bytes',
}

export const spellings: readonly Spelling[] = [
  ours,
  {
    what: "Microsoft's sample",
    settings: 'SETTINGS DEFAULT',
    protocol: 'DEFAULT',
    unit: 'characters',
  },
  { what: 'the documentation', settings: 'SETTINGS DEFAULT', protocol: 'DEFAULT', unit: 'bytes' },
  {
    what: 'IPSEC throughout',
    settings: 'SETTINGS_IPSEC IPSEC',
    protocol: 'IPSEC',
    unit: 'characters',
  },
  {
    what: 'IPSEC2 throughout',
    settings: 'SETTINGS_IPSEC IPSEC2',
    protocol: 'IPSEC2',
    unit: 'bytes',
  },
]

const working = new WeakMap<Peer, Spelling>()

/** The first spelling that has made a connection is what the other questions use. */
export function remember(peer: Peer, spelling: Spelling): void {
  if (!working.has(peer)) working.set(peer, spelling)
}

/** What has worked with the other machine, or else what the library sends. */
export function spelling(check: Check): Spelling {
  return working.get(peerOf(check)) ?? ours
}
