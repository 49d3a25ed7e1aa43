/** The policy file as a value: all that is wrong with it is told, each fault with its place. */
import { mayBeSet } from './application-may-set.js'
import { clearRules, targetNameRules } from './flow-reader.js'
import type { FlowRule } from './flow-rule.js'
import { inspectJson, lineAndColumn } from './json-text.js'
import type { Policy, PolicyFile, TargetNameRule } from './policy.js'
import { invalidPolicy, type PolicyProblem } from './problems.js'
import { object, oneOf, type Reader, text } from './reading.js'
import { checkSettings, identityReader, settingsReader } from './settings-reader.js'

/**
 * @param file the path of the file, from which the paths in it go
 * @throws SocketSecurityError ERR_POLICY_INVALID with every problem
 */
export function parsePolicy(json: string, file: string): Policy {
  const { policy, problems } = inspectPolicy(json, file)
  if (policy === null) throw invalidPolicy(file, problems)
  return policy
}

/** The same for those who want to see the problems; the policy is null where there are any. */
export function inspectPolicy(
  json: string,
  file: string,
): { readonly policy: Policy | null; readonly problems: readonly PolicyProblem[] } {
  // Editors of Windows put it there.
  const plain = json.replace(/^\ufeff/, '')
  const { errorAt, repeated } = inspectJson(plain)
  if (errorAt !== undefined) {
    const { line, column } = lineAndColumn(plain, errorAt)
    const message = `is no JSON: look at line ${line}, column ${column}`
    return { policy: null, problems: [{ path: '$', message }] }
  }
  const problems: PolicyProblem[] = repeated.map(path => ({
    path,
    message: 'stands there twice: leave one out',
  }))
  const policy = read(JSON.parse(plain), file, problems)
  return { policy: problems.length === 0 ? policy : null, problems }
}

interface Written {
  readonly $schema?: string
  readonly protocol?: 'default' | 'tls' | 'ipsec'
  readonly identity?: Settings
  readonly streams?: Settings
  readonly servers?: Settings
  readonly datagrams?: Settings
  readonly targetNames?: TargetNameRule[]
  readonly clear?: FlowRule[]
  readonly applicationMaySet?: true | ReadonlySet<string>
}
type Settings = Readonly<Record<string, unknown>>

function read(value: unknown, file: string, problems: PolicyProblem[]): Policy | null {
  const files: PolicyFile[] = []
  const streams = settingsReader('stream', file)
  const readers: { [Key in keyof Written]-?: Reader<NonNullable<Written[Key]>> } = {
    $schema: text,
    protocol: oneOf('default', 'tls', 'ipsec'),
    identity: identityReader(file, files),
    streams,
    servers: streams,
    datagrams: settingsReader('datagram', file),
    targetNames: targetNameRules,
    clear: clearRules,
    applicationMaySet: mayBeSet,
  }
  const written = object<Written>(readers)(value, '$', problems)
  if (written === undefined) return null
  const { protocol, identity, datagrams } = written
  const servers = { ...written.streams, ...written.servers }
  // What is wrong with one of them alone has been told, and would be told again.
  if (problems.length === 0) {
    checkSettings(written.streams, 'stream', '$.streams', problems)
    if (written.servers) checkSettings(servers, 'stream', '$.servers', problems)
    checkSettings(datagrams, 'datagram', '$.datagrams', problems)
  }
  const shared = { ...(protocol !== 'default' && protocol && { protocol }), ...identity }
  return {
    file,
    files,
    settings: {
      client: { ...shared, ...written.streams },
      server: { ...shared, ...servers },
      datagram: { ...shared, ...datagrams },
    },
    targetNames: written.targetNames ?? [],
    clear: written.clear ?? [],
    applicationMaySet: written.applicationMaySet ?? new Set(),
  }
}
