/**
 * examples/windows-check asks real Windows machines; here it asks the double, which answers as the
 * documentation says or as it is told to. So every question is seen to be asked, and to tell one
 * answer from the other. What no DLL can do is to keep a peer out: packets do arrive here.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { connectControl } from '../../examples/windows-check/control.js'
import { datagramQuestions } from '../../examples/windows-check/datagrams.js'
import { machineQuestions } from '../../examples/windows-check/machine.js'
import { peerQuestions } from '../../examples/windows-check/peer.js'
import { ask, type Peer } from '../../examples/windows-check/question.js'
import type { Finding, Report } from '../../examples/windows-check/report.js'
import { server } from '../../examples/windows-check/server.js'
import { noDouble, winsockDouble } from '../support/winsock-double.js'
import { runProgram } from './child.js'

const skip = noDouble
// Each of these is a process or more, and what differs in them is not Node.
const once = noDouble || (process.versions.node.startsWith('22.') ? false : 'on Node 22 only')
const questions = [...machineQuestions, ...peerQuestions, ...datagramQuestions]
const patience = 2000

t.afterEach(() => {
  if (!skip) winsockDouble().reset()
})

t.test('one machine, as documented', { skip }, async t => {
  const found = await here(machineQuestions.map(({ id }) => id))
  agree(t, found, 'functions', 'all of them')
  agree(t, found, 'settings', 'SETTINGS: DEFAULT; SETTINGS_IPSEC: IPSEC')
  agree(t, found, 'account-length', 'bytes')
  agree(t, found, 'name-length', 'DEFAULT: bytes, IPSEC: bytes, IPSEC2: bytes')
  agree(t, found, 'preconditions', 'all 10 as documented')
  agree(t, found, 'exclusive', 'yes')
  agree(t, found, 'completion', 'all at once')
  agree(t, found, 'query-size', 'WSAEMSGSIZE (10040)')
  // The double secures whatever asks for it.
  differ(t, found, 'loopback', 'yes')
})

t.test('loopback that is not secured', { skip }, async t => {
  winsockDouble().answers({ flags: 0 })
  agree(t, await here(['loopback']), 'loopback', 'no')
})

t.test('calls that complete later, and calls that never do', { skip }, async t => {
  winsockDouble().behave('WSASetSocketSecurity', { mode: 'pend', delay: 50 })
  const later = await here(['completion'])
  agree(t, later, 'completion', 'all of them, some later')
  t.match(step(later, 'completion', 'settings, overlapped'), /^ok, completed later, /)
})

t.test('two machines, as documented', { skip }, async t => {
  const all = [...peerQuestions, ...datagramQuestions].map(({ id }) => id)
  const found = await here(all.filter(id => id !== 'impersonation'))
  t.match(found.names?.answer, /^connects: this library, /)
  const right = /client: encrypted; server: encrypted; data both ways/
  t.match(step(found, 'names', 'this library, the right name'), right)
  t.match(step(found, 'names', 'this library, no name'), /^connected/)
  differ(t, found, 'default-policy', 'encrypted')
  t.match(found.accepted?.answer, /^yes; /)
  t.equal(step(found, 'accepted', 'settings for the accepted socket'), 'WSAEISCONN (10056)')
  agree(t, found, 'query-ipsec2', 'yes')
  t.match(found.datagrams?.answer, /^the right name arrives, secured/)
  t.match(step(found, 'datagrams', 'the right name, the answer'), /^pong, to message /)
  t.equal(step(found, 'datagrams', 'the right name, delete the name'), 'ok')
  t.match(found['dual-stack']?.answer, /^yes$|accepted nothing/)
  // Whatever is sent here arrives.
  differ(t, found, 'datagram-ports', 'no: it is not checked')
  differ(t, found, 'standing', "NO: secured in spite of another machine's name")
  differ(t, found, 'datagram-answer', 'no')
  agree(t, found, 'datagram-connected', /^yes; deleting: /)
})

t.test('a default policy that does not encrypt', { skip }, async t => {
  winsockDouble().answers({ flags: 1 })
  agree(t, await here(['default-policy']), 'default-policy', 'secured, not encrypted')
})

t.test('impersonation, where overlapped sockets are refused and where not', { skip }, async t => {
  const direct = 'not overlapped, not overlapped by the token, '
  const refused = await here(['impersonation'])
  agree(t, refused, 'impersonation', `${direct}overlapped by the token`)
  winsockDouble().behave('WSAImpersonateSocketPeer', { mode: 'succeed' })
  const taken = await here(['impersonation'])
  agree(t, taken, 'impersonation', `${direct}overlapped, overlapped by the token`)
  const who = 'not overlapped, WSAImpersonateSocketPeer'
  t.match(step(taken, 'impersonation', who), /^ok; acts as an account; reverted$/)
  const named = await here(['impersonation'], { names: true })
  t.match(step(named, 'impersonation', who), /; reverted, .+\\.+$/, 'the account, if asked for')
  t.equal(winsockDouble().openTokens(), 0, 'all tokens are closed')
  t.equal(winsockDouble().impersonating(), false)
})

t.test('another Windows, which counts characters', { skip: once }, async t => {
  const env = { NAME: 'characters', SETTINGS: 'ipsec2', PROBE: 'fault' }
  const found = await elsewhere(t, 'machine', 'settings,name-length,query-size', { env })
  differ(t, found, 'settings', 'SETTINGS: DEFAULT; SETTINGS_IPSEC: IPSEC2')
  differ(t, found, 'name-length', 'DEFAULT: characters, IPSEC: characters, IPSEC2: characters')
  agree(t, found, 'query-size', 'WSAEFAULT (10014)')
})

t.test('another Windows, which counts bytes with IPSEC2 only', { skip: once }, async t => {
  const env = { NAME: 'ipsec2', SETTINGS: 'both' }
  const found = await elsewhere(t, 'machine', 'settings,name-length', { env })
  agree(t, found, 'settings', 'SETTINGS: DEFAULT; SETTINGS_IPSEC: IPSEC, IPSEC2')
  agree(t, found, 'name-length', 'DEFAULT: characters, IPSEC: characters, IPSEC2: bytes')
})

t.test('a Windows without one of the functions', { skip: once }, async t => {
  const env = { MISSING: 'WSADeleteSocketPeerTargetName' }
  const found = await elsewhere(t, 'machine', 'functions,settings', { env })
  for (const { answer, agrees } of Object.values(found)) {
    t.match(answer, /could not be found out: .*WSADeleteSocketPeerTargetName/)
    t.equal(agrees, null)
  }
})

t.test('a call on a SOCKET of Node that completes later', { skip }, async t => {
  const behaves = { WSAQuerySocketSecurity: { mode: 'pend', delay: 50 } }
  const found = await elsewhere(t, 'machine', 'adoption', { behaves })
  agree(t, found, 'adoption', 'yes')
  t.match(step(found, 'adoption', 'secured, query'), /^ok, completed later/)
})

t.test('calls on a SOCKET of Node, and before, that never complete', { skip: once }, async t => {
  const behaves = {
    WSASetSocketPeerTargetName: { mode: 'never' },
    WSAQuerySocketSecurity: { mode: 'never' },
  }
  const found = await elsewhere(t, 'machine', 'completion,adoption', { behaves })
  differ(t, found, 'completion', 'not all of them')
  differ(t, found, 'adoption', 'NO')
})

t.test('wrong names that Windows does not secure, and this library', { skip: once }, async t => {
  const only = 'names,standing,library-streams,library-datagrams'
  const found = await elsewhere(t, 'both', only, {
    env: { NAME: 'ipsec2', WRONG_NAME: 'nobody:0' },
    args: ['--wrong', 'host/nobody-else', '--spn', 'host/db.corp.example.com'],
  })
  agree(t, found, 'names', /^connects: this library, .*; no wrong name does$/)
  t.match(step(found, 'names', 'this library, a name of nobody'), /client: in clear/)
  agree(t, found, 'standing', 'yes')
  t.match(step(found, 'standing', 'the right name'), /^encrypted; data both ways$/)
  t.match(step(found, 'standing', 'a name of nobody'), /^in clear/)
  const right = /^encrypted; .*; data both ways$/
  agree(t, found, 'library-streams', 'yes')
  t.match(step(found, 'library-streams', 'the right name'), right)
  t.match(step(found, 'library-streams', 'a name of nobody'), /^EPROTO/)
  t.match(step(found, 'library-datagrams', 'the host alone'), right)
  t.notMatch(JSON.stringify(found), /corp\.example\.com|127\.0\.0\.1/, 'the report names nobody')
})

t.test('wrong names that are refused, and accepted sockets in clear', { skip: once }, async t => {
  const only = 'names,standing,accepted,library-streams'
  const found = await elsewhere(t, 'both', only, {
    env: { NAME: 'ipsec2', WRONG_NAME: 'nobody:11033', ACCEPTED: 'clear' },
    args: ['--wrong', 'host/nobody-else'],
  })
  agree(t, found, 'names', /^connects: this library, Microsoft's sample, .*no wrong name does$/)
  const refused = 'WSASetSocketPeerTargetName: WSA_IPSEC_NAME_POLICY_ERROR (11033)'
  t.equal(step(found, 'names', "Microsoft's sample, a name of nobody"), refused)
  agree(t, found, 'standing', 'yes')
  t.equal(step(found, 'standing', 'a name of nobody'), refused)
  t.match(found.accepted?.answer, /^NO; /)
  // The library's server lets nobody in whom Windows does not call secured.
  differ(t, found, 'library-streams', 'NO')
  t.match(step(found, 'library-streams', 'the server'), /^refused: EPROTO/)
})

type Found = Record<string, Finding>

function agree(t: Test, found: Found, id: string, answer: string | RegExp): void {
  t.match({ ...found[id] }, { answer, agrees: true }, id)
}

function differ(t: Test, found: Found, id: string, answer: string): void {
  t.match({ ...found[id] }, { answer, agrees: false }, id)
}

function step(found: Found, id: string, did: string): string | undefined {
  return found[id]?.steps.find(each => each.did === did)?.got
}

/** Asks in this process, where both machines are. */
async function here(ids: string[], { names = false } = {}): Promise<Found> {
  let serving: Promise<void> = Promise.resolve()
  const port = await new Promise<number>((resolve, reject) => {
    serving = server(0, line => {
      const waits = /on port (\d+)$/.exec(line)?.[1]
      if (waits) resolve(Number(waits))
    })
    serving.catch(reject)
  })
  const control = await connectControl('127.0.0.1', port)
  const peer: Peer = {
    host: '127.0.0.1',
    address: '127.0.0.1',
    control,
    spn: 'host/db.example.com',
    wrongNames: { "another machine's name": 'host/other.example.com' },
    names,
  }
  const found: Found = {}
  try {
    for (const question of questions.filter(({ id }) => ids.includes(id)))
      found[question.id] = await ask(question, { patience, peer })
  } finally {
    control.end()
    await serving
  }
  return found
}

interface Elsewhere {
  /** What the double is, by the names of its environment without their prefix. */
  readonly env?: Record<string, string>
  readonly behaves?: Record<string, object>
  readonly args?: readonly string[]
}

/** Asks in a process of its own, whose double is another one. */
async function elsewhere(
  t: Test,
  role: 'machine' | 'both',
  only: string,
  { env = {}, behaves = {}, args = [] }: Elsewhere,
): Promise<Found> {
  const file = join(t.testdir(), 'report.json')
  const variant = Object.entries(env).map(([name, value]) => [`WINSOCK_DOUBLE_${name}`, value])
  const { code, output } = await runProgram(
    t,
    'windows-check',
    [role, '--only', only, '--patience', '2', '--output', file, ...args],
    { env: { ...Object.fromEntries(variant), DOUBLE_BEHAVES: JSON.stringify(behaves) } },
  )
  if (code !== 0) throw new Error(`it ended with ${code}: ${output}`)
  const { findings } = JSON.parse(readFileSync(file, 'utf8')) as Report
  return Object.fromEntries(findings.map(each => [each.id, each]))
}
