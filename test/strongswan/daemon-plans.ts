/** Plans as the settings would give them, for tests of the daemon's interface. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { ConnectionPlan } from '../../src/providers/strongswan/plans/plans.js'

/** As host a, b or c by its certificate, with whoever `remoteId` names. */
export function certified(host: string, remoteId: string): ConnectionPlan {
  const certificate = (file: string) => new X509Certificate(readFileSync(`/run/ca/${file}.pem`)).raw
  return {
    localId: `fqdn:${host}.example`,
    remoteId,
    credential: {
      kind: 'certificate',
      chain: [certificate(host)],
      key: () => readFileSync(`/run/ca/${host}.key`),
    },
    trust: [certificate('ca')],
    ...common,
  }
}

/** By a secret. */
export function shared(localId: string, remoteId: string, secret: string): ConnectionPlan {
  return {
    localId,
    remoteId,
    credential: { kind: 'psk', secret: () => Buffer.from(secret) },
    trust: null,
    ...common,
  }
}

const common = {
  ikeProposals: ['aes128gcm16-prfsha256-ecp256'],
  espProposals: ['aes128gcm16-ecp256'],
  lifetimes: { rekeySeconds: 3600, ikeRekeySeconds: 7200 },
}

/** By name, so that another process can be told. */
export type PlanName =
  | readonly ['certified', host: string, remoteId: string]
  | readonly ['shared', localId: string, remoteId: string, secret: string]

export function planOf(name: PlanName): ConnectionPlan {
  return name[0] === 'certified' ? certified(name[1], name[2]) : shared(name[1], name[2], name[3])
}
