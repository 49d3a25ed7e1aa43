import { problemText } from '../../model/policy/problems.js'
import { checkPolicy } from '../../policy/check-policy.js'
import { administratorsFile } from '../../policy/read-policy.js'
import type { Finding } from './finding.js'

/** Is a policy in force, and can it be used? Where it cannot, no socket is secured, and none goes clear. */
export function examinePolicy(): Finding {
  const common = { name: 'policy', title: 'policy' } as const
  const { file, problems } = checkPolicy()
  if (file === null) {
    return {
      ...common,
      status: 'missing',
      summary: `none: neither ${administratorsFile} nor SECURE_SOCKET_POLICY names one`,
      details: { file },
    }
  }
  if (problems.length === 0) return { ...common, status: 'works', summary: file, details: { file } }
  return {
    ...common,
    status: 'fails',
    summary: `${file} cannot be used, so no socket can be secured`,
    remedies: problems.map(problemText),
    details: { file, problems },
  }
}
