import { getFips } from 'node:crypto'
import type { Finding } from './finding.js'

/** The oldest Node that the package is made for; package.json says the same in "engines". */
const OLDEST_MAJOR = 20

/** Which Node this is, and whether something is forbidden to it. */
export function examineNode(version: string = process.versions.node): Finding {
  const { platform, arch, versions } = process
  const permissionModel = 'permission' in process && process.permission !== undefined
  const details = {
    version,
    platform,
    arch,
    openssl: versions.openssl,
    fips: getFips() === 1,
    permissionModel,
  }
  const common = { name: 'node', title: 'Node' } as const
  if (Number.parseInt(version, 10) < OLDEST_MAJOR) {
    return {
      ...common,
      status: 'fails',
      summary: `${version} is too old`,
      remedies: [`install Node ${OLDEST_MAJOR} or later`],
      details,
    }
  }
  const also = [
    details.fips ? 'FIPS mode' : '',
    permissionModel ? 'with the permission model' : '',
  ].filter(Boolean)
  return {
    ...common,
    status: 'works',
    summary: [`${version} for ${platform} ${arch}`, ...also].join(', '),
    details,
  }
}
