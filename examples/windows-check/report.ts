/** What was found out: as text for people, and as JSON to send in. Without secrets, and nameless unless asked for. */
import { hostname, userInfo } from 'node:os'
import { describeError } from '../../lib/kernel32.js'

/** One thing that was done, and what came of it. */
export interface Step {
  readonly did: string
  readonly got: string
}

export interface Finding {
  readonly id: string
  readonly question: string
  /** What the library relies on, or the documentation says. */
  readonly expected: string
  readonly answer: string
  /** The answer is the expected one; null where it could not be told. */
  readonly agrees: boolean | null
  readonly steps: readonly Step[]
}

export interface Report {
  readonly about: 'secure-socket windows-check'
  readonly role: 'client' | 'machine'
  readonly machines: Record<string, unknown>
  readonly findings: readonly Finding[]
}

export function asText({ role, machines, findings }: Report): string {
  const lines = []
  for (const [name, facts] of Object.entries(machines))
    lines.push(`${name}: ${JSON.stringify(facts)}`)
  for (const { id, question, expected, answer, agrees, steps } of findings) {
    const mark = agrees === null ? '?' : agrees ? 'as expected' : 'NOT AS EXPECTED'
    lines.push('', `${id}: ${question}`, `  ${answer}  [${mark}]`, `  expected: ${expected}`)
    const width = Math.max(0, ...steps.map(({ did }) => did.length))
    for (const { did, got } of steps) lines.push(`    ${did.padEnd(width)}  ${got}`)
  }
  const count = (agrees: boolean | null) => findings.filter(each => each.agrees === agrees).length
  lines.push(
    '',
    `${count(true)} as expected, ${count(false)} not as expected, ${count(null)} not told`,
  )
  if (role === 'client')
    lines.push('What was on the wire only a capture shows: docs/windows.md says how to make one.')
  return lines.join('\n')
}

/** Takes names and addresses out of a report, wherever they stand. */
export function nameless<T>(report: T, secrets: Readonly<Record<string, string>>): T {
  let text = JSON.stringify(report)
  const known = { ...ownNames(), ...secrets }
  // The longest first: a host's name may begin its full name.
  const names = Object.keys(known).sort((a, b) => b.length - a.length)
  for (const name of names) {
    if (name.length < 2) continue
    // As it stands in JSON, and not within another word.
    const pattern = JSON.stringify(name)
      .slice(1, -1)
      .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    const whole = new RegExp(`(?<![\\w.-])${pattern}(?![\\w-])`, 'gi')
    text = text.replace(whole, () => known[name] as string)
  }
  return JSON.parse(text) as T
}

function ownNames(): Record<string, string> {
  const { USERDNSDOMAIN = '', USERDOMAIN = '', COMPUTERNAME = '' } = process.env
  return {
    [hostname()]: '<this machine>',
    [COMPUTERNAME]: '<this machine>',
    [userInfo().username]: '<user>',
    [USERDNSDOMAIN]: '<domain>',
    [USERDOMAIN]: '<domain>',
  }
}

/** An error number with its name, so that nobody need look it up. */
export function named(error: number): string {
  if (error === 0) return 'ok'
  const name = names[error]
  if (name) return `${name} (${error})`
  const text = process.platform === 'win32' ? describeError(error) : ''
  return text ? `${error} (${text})` : String(error)
}

const names: Readonly<Record<number, string>> = {
  5: 'ERROR_ACCESS_DENIED',
  87: 'ERROR_INVALID_PARAMETER',
  995: 'ERROR_OPERATION_ABORTED',
  997: 'WSA_IO_PENDING',
  1008: 'ERROR_NO_TOKEN',
  10013: 'WSAEACCES',
  10014: 'WSAEFAULT',
  10022: 'WSAEINVAL',
  10035: 'WSAEWOULDBLOCK',
  10038: 'WSAENOTSOCK',
  10040: 'WSAEMSGSIZE',
  10045: 'WSAEOPNOTSUPP',
  10047: 'WSAEAFNOSUPPORT',
  10048: 'WSAEADDRINUSE',
  10049: 'WSAEADDRNOTAVAIL',
  10051: 'WSAENETUNREACH',
  10053: 'WSAECONNABORTED',
  10054: 'WSAECONNRESET',
  10055: 'WSAENOBUFS',
  10056: 'WSAEISCONN',
  10057: 'WSAENOTCONN',
  10060: 'WSAETIMEDOUT',
  10061: 'WSAECONNREFUSED',
  10065: 'WSAEHOSTUNREACH',
  10107: 'WSASYSCALLFAILURE',
  11032: 'WSA_SECURE_HOST_NOT_FOUND',
  11033: 'WSA_IPSEC_NAME_POLICY_ERROR',
}
