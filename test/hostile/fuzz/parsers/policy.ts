/** The policy: whatever a file says, its faults are told, and what has none is what JSON says. */
import { inspectJson, lineAndColumn } from '../../../../src/model/policy/json-text.js'
import { inspectPolicy, parsePolicy } from '../../../../src/model/policy/parse.js'
import { must, type Parser, resultOr, withCode } from '../parser.js'

const policies = [
  {},
  {
    $schema: 'x',
    protocol: 'tls',
    identity: { cert: 'a.crt', key: ['a.key'], ca: ['/ca'], crl: 'c', passphrase: 'p' },
    streams: { minVersion: 'TLSv1.2', ciphers: 'X', handshakeTimeout: 5000, keylog: '/k' },
    servers: { requestCert: true, rejectUnauthorized: true },
    datagrams: { mtu: 1200, maxSessions: 5, ipsec: { rawPeerName: true } },
    targetNames: [{ host: '*.example.com', port: '1-5', targetName: 'host/a.example' }],
    clear: [{ address: '10.0.0.0/8', transport: 'udp', direction: 'out' }, { pipes: true }],
    applicationMaySet: ['peerTargetName', 'alpn'],
  },
  {
    protocol: 'ipsec',
    identity: { psk: { identity: 'me', key: 'k' }, acceptedPsk: { you: 'y', __proto__: 'z' } },
    streams: {
      guaranteeEncryption: false,
      ipsec: {
        mainModePolicy: '0a1b2c3d-4e5f-6789-abcd-ef0123456789',
        ikeProposals: ['aes-sha256'],
      },
    },
    clear: [{ loopback: true, port: 53, $comment: 'x' }],
    applicationMaySet: true,
  },
]

export const policy: Parser = {
  name: 'policy',
  seeds: () => policies.map(each => Buffer.from(JSON.stringify(each))),
  words: [
    ...'{}[],:"\\',
    ...['\\u0000', '\\ud800', '"__proto__":', '"toString":', '{"toString":null,"valueOf":1}'],
    ...['"constructor":', '""', 'null', 'true', '-0', '1e999', '0.5'],
    ...['"identity":{', '"streams":{', '"ipsec":{', '"clear":[', '"targetNames":[{', '"psk":{'],
    ...['"acceptedPsk":{', '"host":', '"address":', '"port":', '"a/../b"', '"\\u0000"', '\ufeff'],
    ...['\n', '"applicationMaySet":[', '"mainModePolicy":', '"key":', '"keylog":', '"::/0"'],
    '"1.2.3.4/33"',
  ],
  check(input) {
    const text = input.toString('utf8')
    const { policy, problems } = inspectPolicy(text, '/etc/secure-socket/policy.json')
    must((policy === null) === problems.length > 0, 'there is a policy where nothing is wrong')
    for (const { path, message } of problems)
      must(path.startsWith('$') && message !== '', 'a fault has its place')
    const parsed = resultOr(() => parsePolicy(text, '/p'), withCode('ERR_POLICY_INVALID'))
    must((parsed === undefined) === (policy === null), 'the same for those who want no problems')
    isJson(text.replace(/^\ufeff/, ''))
  },
}

/** Against JSON.parse, which is not ours. */
function isJson(text: string): void {
  const { errorAt, repeated } = inspectJson(text)
  const value = resultOr(
    () => JSON.parse(text) as unknown,
    error => error instanceof SyntaxError || (error as Error).name === 'SyntaxError',
  )
  if (errorAt === undefined) must(value !== undefined, 'it is JSON to us alone')
  else {
    must(errorAt >= 0 && errorAt <= text.length, 'the place is in the text')
    must(value === undefined || depthOf(text) > 20, 'it is JSON to others')
    const { line, column } = lineAndColumn(text, errorAt)
    must(line >= 1 && column >= 1, 'lines are counted from 1')
  }
  const strings = [...text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/gs)]
  const written = strings.filter(([, colon]) => colon !== undefined).length
  must(repeated.length <= written, 'no more keys than there are')
  if (errorAt === undefined && repeated.length === 0)
    must(keysOf(value) === written, 'no key is lost', `${keysOf(value)} of ${written}`)
}

function depthOf(text: string): number {
  let [depth, most] = [0, 0]
  for (const each of text) {
    if ('[{'.includes(each)) depth += 1
    if (']}'.includes(each)) depth -= 1
    most = Math.max(most, depth)
  }
  return most
}

function keysOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const own = Array.isArray(value) ? 0 : Object.keys(value).length
  return Object.values(value).reduce((sum: number, each) => sum + keysOf(each), own)
}
