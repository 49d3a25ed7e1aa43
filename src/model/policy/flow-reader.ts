/** Reads which flows a rule of the policy is about. */
import { show } from '../errors.js'
import { parseTargetName } from '../target-name.js'
import { type AddressRange, loopback, parseAddressRange } from './address-range.js'
import { canonicalHost, type FlowRule } from './flow-rule.js'
import type { TargetNameRule } from './policy.js'
import { list, object, oneOf, onlyTrue, type Reader, refuse, text } from './reading.js'

interface Written {
  readonly transport?: 'tcp' | 'udp'
  readonly direction?: 'out' | 'in'
  readonly host?: string
  readonly address?: AddressRange
  readonly port?: readonly [number, number]
  readonly loopback?: true
  readonly pipes?: true
  readonly targetName?: string
}

const host: Reader<string> = (value, path, problems) => {
  const name = text(value, path, problems)
  if (name === undefined) return undefined
  const plain = canonicalHost(name)
  // An address in the place of a name would match what the program calls by address, however it writes it.
  if (
    /^(?:\*\.)?(?:[\w\u0080-\u{10ffff}-]+\.)*[\w\u0080-\u{10ffff}-]+$/u.test(plain) &&
    !/(?:^|\.)\d+$/.test(plain)
  )
    return plain
  const remedy = 'give a name such as db.example.com or *.example.com; addresses belong in address'
  return refuse(name, path, problems, remedy)
}

const address: Reader<AddressRange> = (value, path, problems) =>
  (typeof value === 'string' ? parseAddressRange(value) : undefined) ??
  refuse(
    value,
    path,
    problems,
    'give an address or a range such as 10.0.0.0/8, whose bits beyond its length are zero',
  )

const port: Reader<readonly [number, number]> = (value, path, problems) => {
  const match = typeof value === 'string' ? /^(\d{1,5})-(\d{1,5})$/.exec(value) : null
  const [from, to] = match ? [Number(match[1]), Number(match[2])] : [value, value]
  if (isPort(from) && isPort(to) && from <= to) return [from, to]
  return refuse(
    value,
    path,
    problems,
    'give a port from 1 to 65535, or a range such as "8000-8010"',
  )
}

function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65535
}

const transport = oneOf('tcp', 'udp')

const clearRule: Reader<FlowRule> = (value, path, problems) => {
  const before = problems.length
  const written = object<Omit<Written, 'targetName'>>({
    transport,
    direction: oneOf('out', 'in'),
    host,
    address,
    port,
    loopback: onlyTrue,
    pipes: onlyTrue,
  })(value, path, problems)
  // What could not be read must not look like a rule without it, which covers more.
  if (written === undefined || problems.length > before) return undefined
  const { pipes, ...others } = written
  const reasons = whose(others)
  if (pipes === undefined) {
    if (reasons.length === 0)
      problems.push({
        path,
        message: 'says not what stays clear: give address, host, port, loopback or pipes',
      })
    else if (reasons.filter(each => each !== 'port').length > 1)
      problems.push({
        path,
        message: `has ${reasons.join(' and ')}: give each in a rule of its own`,
      })
  } else if (Object.keys(others).length > 0) {
    problems.push({
      path,
      message: `has ${Object.keys(others).join(' and ')} beside pipes: give each in a rule of its own`,
    })
  }
  return ruleOf(written)
}

/** What stays clear, in the order in which it is written. */
export const clearRules: Reader<FlowRule[]> = list(clearRule)

const targetName: Reader<string> = (value, path, problems) => {
  const name = text(value, path, problems)
  if (name === undefined) return undefined
  try {
    parseTargetName(name)
    return name
  } catch (error) {
    problems.push({
      path,
      message: (error as Error).message.replace(/^the peer target name /, 'is '),
    })
    return undefined
  }
}

const targetNameRule: Reader<TargetNameRule> = (value, path, problems) => {
  const before = problems.length
  const written = object<Omit<Written, 'direction' | 'loopback' | 'pipes'>>({
    transport,
    host,
    address,
    port,
    targetName,
  })(value, path, problems)
  if (written === undefined || problems.length > before) return undefined
  const { targetName: name, ...rule } = written
  const reasons = whose(rule)
  if (name === undefined) {
    problems.push({ path, message: 'has no targetName: say whom the peer must prove to be' })
    return undefined
  }
  if (reasons.length === 0)
    problems.push({
      path,
      message: `says not whose name ${show(name)} is: give host, address or port`,
    })
  else if (reasons.filter(each => each !== 'port').length > 1)
    problems.push({ path, message: 'has host and address: give each in a rule of its own' })
  return { rule: ruleOf(rule), targetName: name }
}

/** The names of peers, in the order in which they are written. */
export const targetNameRules: Reader<TargetNameRule[]> = list(targetNameRule)

function whose(written: Omit<Written, 'pipes' | 'targetName'>): string[] {
  return Object.keys(written).filter(key => key !== 'transport' && key !== 'direction')
}

function ruleOf({
  transport,
  direction,
  host,
  address,
  port,
  loopback: local,
  pipes,
}: Written): FlowRule {
  const addresses = local ? loopback : address && [address]
  return {
    ...(transport && { transport }),
    ...(direction && { direction }),
    ...(host && { host }),
    ...(addresses && { addresses }),
    ...(port && { ports: port }),
    ...(pipes && { pipes }),
  }
}
