/** 'secure-socket/policy': the administrator's policy, for programs that are asked to read it again. */
export type { PolicyProblem } from './model/policy/problems.js'
export { checkPolicy, type PolicyCheck } from './policy/check-policy.js'
export { reloadPolicy } from './policy/current-policy.js'
