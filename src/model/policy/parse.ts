// biome-ignore-all lint/suspicious/noExplicitAny: the first step; the checks follow
import { dirname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { SocketSecurityError } from '../errors.js'
import { loopback, parseAddressRange } from './address-range.js'
import { canonicalHost, type FlowRule } from './flow-rule.js'
import type { Policy } from './policy.js'

export function parsePolicy(text: string, file: string): Policy {
  let given: any
  try {
    given = JSON.parse(text)
  } catch (error) {
    throw new SocketSecurityError('ERR_POLICY_INVALID', `${file} is no JSON`, { cause: error })
  }
  const at = (path: any): any =>
    Array.isArray(path) ? path.map(at) : pathToFileURL(resolve(dirname(file), path))
  const { psk, acceptedPsk, ...files } = given.identity ?? {}
  const identity: any = Object.fromEntries(
    Object.entries(files).map(([key, value]) => [key, at(value)]),
  )
  const keys: any[] = []
  if (psk) keys.push({ identity: psk.identity, key: at(psk.key) })
  if (acceptedPsk)
    keys.push(Object.fromEntries(Object.entries(acceptedPsk).map(([id, key]) => [id, at(key)])))
  if (keys.length > 0) identity.psk = keys
  const shared = {
    ...(given.protocol === undefined ? {} : { protocol: given.protocol }),
    ...identity,
  }
  return {
    file,
    settings: {
      client: { ...shared, ...given.streams },
      server: { ...shared, ...given.streams, ...given.servers },
      datagram: { ...shared, ...given.datagrams },
    },
    targetNames: (given.targetNames ?? []).map(({ targetName, ...rule }: any) => ({
      rule: ruleOf(rule),
      targetName,
    })),
    clear: (given.clear ?? []).map(ruleOf),
    applicationMaySet:
      given.applicationMaySet === true ? true : new Set(given.applicationMaySet ?? []),
  }
}

function ruleOf({
  transport,
  direction,
  host,
  address,
  port,
  loopback: local,
  pipes,
}: any): FlowRule {
  const rule: any = { transport, direction }
  if (pipes) rule.pipes = true
  if (host !== undefined) rule.host = canonicalHost(host)
  if (local) rule.addresses = loopback
  if (address !== undefined) rule.addresses = [parseAddressRange(address)]
  if (port !== undefined) {
    const [from, to = from] = String(port).split('-').map(Number)
    rule.ports = [from, to]
  }
  return rule
}
