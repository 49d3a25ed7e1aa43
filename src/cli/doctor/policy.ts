import { type PolicyInForce, policyInForce } from '../policy-in-force.js'
import type { Finding } from './finding.js'

/** Is a policy in force, and can it be used? Where it cannot, no socket is secured, and none goes clear. */
export function examinePolicy(found: PolicyInForce = policyInForce()): Finding {
  const common = { name: 'policy', title: 'policy' } as const
  const { file, places, problems } = found
  if (file === null) {
    return {
      ...common,
      status: 'missing',
      summary: `none: neither ${places.join(' nor ')} names one`,
      details: { file, places },
    }
  }
  if (problems.length === 0)
    return { ...common, status: 'works', summary: file, details: { file, places } }
  return {
    ...common,
    status: 'fails',
    summary: `${file} cannot be used, so no socket can be secured`,
    remedies: problems.map(({ path, message }) => `${path} ${message}`),
    details: { file, places, problems },
  }
}
