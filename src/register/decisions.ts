/** What the policy leaves in clear. One that cannot be used leaves nothing: its error is told where it is secured. */
import { isIPv4 } from 'node:net'
import { type Flow, mayStayClear, needsAddress, staysClear } from '../model/policy/flows.js'
import type { Policy } from '../model/policy/policy.js'
import { currentPolicy } from '../policy/current-policy.js'

export function isClear(flow: Flow): boolean {
  const policy = policyNow()
  if (policy === null) return false
  const { transport, direction, host, address, port } = flow
  // Hosts and addresses are whatever the program says: with its length, none can pass for another flow.
  const peer = `${address?.length} ${address} ${host?.length} ${host}`
  const key = `${transport} ${direction} ${port} ${peer}`
  const known = decided(policy)
  let decision = known.get(key)
  if (decision === undefined) {
    decision = staysClear(policy, flow)
    if (known.size >= LIMIT) known.clear()
    known.set(key, decision)
  }
  return decision
}

/** What was decided already, by the policy that counts: the same peers come again and again. */
const LIMIT = 1000
const decisions = new WeakMap<Policy, Map<string, boolean>>()

function decided(policy: Policy): Map<string, boolean> {
  let found = decisions.get(policy)
  if (found === undefined) {
    found = new Map()
    decisions.set(policy, found)
  }
  return found
}

/**
 * What comes to a port. Its own address counts where it is the machine's alone: what is bound there can
 * be reached from there only.
 * @param port 0 or none: any port. No rule about ports is met by that.
 */
export function isClearInbound(transport: 'tcp' | 'udp', port: unknown, address: unknown): boolean {
  if (!someAreClear(transport, 'in')) return false
  const flow: Flow = { transport, direction: 'in', port: Number(port) || undefined }
  return isClear(isLoopback(address) ? { ...flow, address } : flow)
}

function isLoopback(address: unknown): address is string {
  return (
    typeof address === 'string' && (/^127\./.test(address) ? isIPv4(address) : address === '::1')
  )
}

/** Can a look-up of the host make it clear? */
export function isUndecided(flow: Flow): boolean {
  return needsAddress(policyNow(), flow)
}

/** Can there be anything of that kind that stays clear? */
export function someAreClear(transport: Flow['transport'], direction?: Flow['direction']): boolean {
  return mayStayClear(policyNow(), transport, direction)
}

/** Null also where there is one that cannot be used. */
export function policyNow(): Policy | null {
  try {
    return currentPolicy()
  } catch {
    return null
  }
}
