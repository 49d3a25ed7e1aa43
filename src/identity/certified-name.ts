import { isIP } from 'node:net'
import { invalid, SocketSecurityError } from '../model/errors.js'
import { parseTargetName, type TargetName } from '../model/target-name.js'

/** A name as a certificate carries it (a subject alternative name). */
export interface CertifiedName {
  type: 'dns' | 'ip' | 'uri'
  value: string
}

/**
 * The certificate's form of target names, each once: peers that ask for one of them find it.
 * @throws SocketSecurityError EINVAL naming what is no name
 */
export function parseCertifiedNames(names: unknown): [CertifiedName, ...CertifiedName[]] {
  if (!Array.isArray(names)) {
    throw invalid('names', names, "give a list of target names such as ['host/db.example.com']")
  }
  const unique = new Map<string, CertifiedName>()
  for (const name of names.map(parseCertifiedName)) unique.set(`${name.type}:${name.value}`, name)
  const [first, ...others] = unique.values()
  if (first === undefined) throw invalid('names', names, 'give at least one target name')
  return [first, ...others]
}

/**
 * The certificate's form of one target name. Beyond target names there are wildcards:
 * `*.example.com` stands for every host directly below example.com.
 * @throws SocketSecurityError EINVAL naming the text
 */
export function parseCertifiedName(text: unknown): CertifiedName {
  if (typeof text === 'string' && text.startsWith('*.')) return wildcard(text)
  const name = parse(text)
  switch (name.kind) {
    case 'spn':
      return { type: isIP(name.host) === 0 ? 'dns' : 'ip', value: name.host }
    case 'dns':
      return { type: 'dns', value: name.host }
    case 'ip':
      return { type: 'ip', value: name.address }
    case 'uri':
      return { type: 'uri', value: name.uri }
    default:
      throw invalid('names', text, `a certificate carries no name of the kind "${name.kind}"`)
  }
}

/** OpenSSL, and with it most verifiers, matches no wildcard with fewer than two labels behind it. */
function wildcard(text: string): CertifiedName {
  const parent = parse(text.slice(2))
  if (parent.kind === 'dns' && parent.host.includes('.')) {
    return { type: 'dns', value: `*.${parent.host}` }
  }
  throw invalid('names', text, 'a wildcard is *. and a domain of two labels or more')
}

function parse(text: unknown): TargetName {
  try {
    return parseTargetName(text)
  } catch (cause) {
    throw new SocketSecurityError('EINVAL', `names: ${(cause as Error).message}`, { cause })
  }
}
