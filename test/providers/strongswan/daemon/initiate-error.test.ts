/**
 * Why a negotiation failed stands only in the daemon's log, in its own words. Each is told as an
 * error with a code that programs can switch on, the words themselves, and what to do.
 */
import t from 'tap'
import { ControlLog } from '../../../../src/providers/strongswan/daemon/control-log.js'
import { CommandError } from '../../../../src/providers/strongswan/daemon/errors.js'
import { initiateError } from '../../../../src/providers/strongswan/daemon/initiate-error.js'
import { connectVici } from '../../../../src/providers/strongswan/vici/connect.js'
import { failure } from '../../../support/events.js'
import { fakeVici } from '../fake-vici.js'

const elsewhere = process.platform === 'win32' && 'for unix sockets'
const negotiation = { peer: '10.9.0.2:5000', remoteId: 'fqdn:db.example.com' }
const failed = "establishing CHILD_SA 'child' failed"

function explained(lines: string[], errmsg = failed) {
  const log = new ControlLog()
  for (const msg of lines) log.add({ group: 'IKE', level: '1', msg })
  return initiateError(new CommandError('initiate', errmsg), log, negotiation)
}

/** What the daemon writes between those lines, in every negotiation. */
const around = [
  'initiating IKE_SA secure-socket.1[1] to 10.9.0.2',
  'generating IKE_SA_INIT request 0 [ SA KE No N(NATD_S_IP) N(NATD_D_IP) N(FRAG_SUP) N(HASH_ALG) ]',
  'sending packet: from 10.9.0.1[500] to 10.9.0.2[500] (240 bytes)',
]

const cases: [code: string, what: RegExp, ...lines: string[]][] = [
  [
    'ERR_PEER_TARGET_NAME_MISMATCH',
    /another identity than its target name/,
    "constraint check failed: identity 'db.example.com' required ",
    "selected peer config 'x' unacceptable: constraint checking failed",
    'no alternative config found',
  ],
  [
    'ERR_PEER_TARGET_NAME_MISMATCH',
    /calls itself by another name/,
    'received IDr other.example.com, but require db.example.com',
  ],
  [
    'ERR_PEER_NOT_AUTHENTICATED',
    /refuses this host/,
    // Said of our own certificate, whose authority need not be known here.
    'no issuer certificate found for "CN=client"',
    'received AUTHENTICATION_FAILED notify error',
  ],
  ['ENOCREDENTIAL', /no key to prove/, "no shared key found for 'a.example' - 'b.example'"],
  ['ENOCREDENTIAL', /no key to prove/, "no private key found for 'a.example'"],
  [
    'ERR_PEER_NOT_AUTHENTICATED',
    /another pre-shared key/,
    "tried 1 shared key for 'a.example' - 'b.example', but MAC mismatched",
  ],
  [
    'CERT_REVOKED',
    /was revoked/,
    'certificate was revoked on Jan 01 00:00:00 UTC 2026, reason: unspecified',
  ],
  [
    'CERT_HAS_EXPIRED',
    /not valid now/,
    'subject certificate invalid (valid from Jan 01 00:00:00 2020 to Jan 01 00:00:00 2021)',
    "no trusted ECDSA public key found for 'db.example.com'",
  ],
  [
    'CERT_NOT_YET_VALID',
    /not valid now/,
    'subject certificate invalid (valid from Jan 01 00:00:00 2190 to Jan 01 00:00:00 2191)',
  ],
  [
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    /nobody whom strongSwan trusts/,
    'no issuer certificate found for "CN=db.example.com"',
    '  issuer is "CN=other ca"',
    "no trusted ECDSA public key found for 'db.example.com'",
  ],
  [
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    /self-signed/,
    '  self-signed certificate "CN=db.example.com" is not trusted',
  ],
  [
    'CERT_UNTRUSTED',
    /another authority/,
    "constraint check failed: peer not authenticated by CA 'CN=ca'",
  ],
  [
    'ERR_PEER_NOT_AUTHENTICATED',
    /no trusted certificate with its name/,
    "no trusted RSA public key found for 'db.example.com'",
  ],
  ['EPROTO', /does not negotiate with this host/, 'received NO_PROPOSAL_CHOSEN notify error'],
  [
    'EPROTO',
    /no common algorithms for packets/,
    'received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built',
  ],
  [
    'EPROTO',
    /does not secure this traffic/,
    'received TS_UNACCEPTABLE notify, no CHILD_SA built',
    'failed to establish CHILD_SA, keeping IKE_SA',
  ],
  ['EPROTO', /refuses to negotiate/, 'received INVALID_SYNTAX notify error'],
  [
    'ERR_PROVIDER_UNAVAILABLE',
    /no ESP, or not that cipher.*esp4, esp6/,
    'received netlink error: Protocol not supported (93)',
    'unable to install inbound and outbound IPsec SA (SAD) in kernel',
    'failed to establish CHILD_SA, keeping IKE_SA',
  ],
  [
    'ERR_PROVIDER_UNAVAILABLE',
    /does not take the policy/,
    'unable to install IPsec policies (SPD) in kernel',
  ],
  [
    'ETIMEDOUT',
    /no IKE daemon answers/,
    'retransmit 1 of request with message ID 0',
    'giving up after 1 retransmits',
    'establishing IKE_SA failed, peer not responding',
  ],
  [
    'ETIMEDOUT',
    /cannot send to the peer/,
    'error writing to socket: Network is unreachable',
    'giving up after 1 retransmits',
  ],
]

for (const [code, what, ...lines] of cases) {
  t.test(`${lines[0]}`, async t => {
    const error = explained([...around, ...lines])
    t.match(error, { name: 'SocketSecurityError', code, peer: '10.9.0.2:5000', message: what })
    t.match(error.message, '10.9.0.2:5000 as fqdn:db.example.com: ')
    t.match(error.message, /\(strongSwan: \S/, 'the daemon is quoted')
    for (const line of lines) t.match((error.cause as Error).message, line)
  })
}

t.test('a failure of which the log says nothing', async t => {
  t.match(explained(around), { code: 'EPROTO', message: /failed \(establishing CHILD_SA 'child'/ })
  const late = "CHILD_SA 'child' not established after 5000ms"
  t.match(explained(around, late), { code: 'ETIMEDOUT', message: /no IKE daemon answers/ })
  const answered = 'received packet: from 10.9.0.2[500] to 10.9.0.1[500] (36 bytes)'
  t.match(explained([...around, answered], late), {
    code: 'ETIMEDOUT',
    message: /not completed in time/,
  })
  t.match(explained([], "CHILD_SA config 'child' not found"), {
    code: 'ECONNRESET',
    message: /somebody has removed the connection/,
  })
  t.match(explained([], "establishing CHILD_SA 'child' not possible at the moment due to limits"), {
    code: 'ENOBUFS',
  })
})

t.test('what a peer writes into the log is bounded and harmless', async t => {
  const log = new ControlLog()
  for (let n = 0; n < 10_000; n++) log.add({ msg: `received IDr \u001b[2J${'x'.repeat(10_000)}` })
  log.add({ level: '1' })
  t.equal(log.lines.length, 20)
  t.ok(log.lines.every(line => line.length < 400 && !line.includes('\u001b')))
})

t.test(
  'what ends the waiting is the reason, and not what was said before',
  { skip: elsewhere },
  async t => {
    const fake = await fakeVici(t, {
      initiate: (_request, client) => {
        client.event('control-log', { msg: 'giving up after 5 retransmits' })
        return undefined
      },
    })
    const log = new ControlLog()
    const vici = await connectVici(fake.path)
    const stop = new AbortController()
    const begun = (options: object) =>
      vici.stream(
        'initiate',
        {},
        'control-log',
        event => {
          log.add(event)
          stop.abort()
        },
        options,
      )
    const canceled = await failure(begun({ signal: stop.signal }))
    t.ok(log.reason)
    t.match(initiateError(canceled, log, negotiation), { code: 'ECANCELED', peer: '10.9.0.2:5000' })
    const lost = failure(begun({}))
    await fake.stop()
    t.match(initiateError(await lost, log, negotiation), {
      code: 'ECONNRESET',
      peer: '10.9.0.2:5000',
    })
    t.match(initiateError(new Error('of another kind'), log, negotiation), {
      code: 'EPROTO',
      message: '10.9.0.2:5000: Error: of another kind',
    })
  },
)

t.test('time that runs out is explained by what was said before', { skip: elsewhere }, async t => {
  const fake = await fakeVici(t, {
    initiate: (_request, client) => {
      client.event('control-log', { msg: 'no shared key found for a - b' })
      return undefined
    },
  })
  const vici = await connectVici(fake.path)
  t.teardown(() => vici.close())
  const log = new ControlLog()
  const late = await failure(
    vici.stream('initiate', {}, 'control-log', event => log.add(event), { timeout: 500 }),
  )
  t.match(initiateError(late, log, negotiation), {
    code: 'ENOCREDENTIAL',
    message: /no key to prove/,
  })
  t.match(initiateError(late, new ControlLog(), { ...negotiation, remoteId: '%any' }), {
    code: 'ETIMEDOUT',
    message: /^10\.9\.0\.2:5000: no IKE daemon answers/,
  })
})
