/** Whom a query names: accounts of real tokens, none of which is left open. */
import t, { type Test } from 'tap'
import { lookupAccountSid, openThreadToken, TOKEN_QUERY } from '../../lib/advapi32.js'
import { querySecurity } from '../../src/providers/winsock/calls.js'
import { IDENTIFY, securityInfo, takeTokens } from '../../src/providers/winsock/tokens.js'
import { noDouble, winsockDouble } from '../support/winsock-double.js'
import { securedConnection, securedDatagrams } from './sockets.js'

// The double's tokens are those of the account that this process runs as.
const NAME = /^[^\\]+\\.+$/
const SID = /^S-1-5-\d+(-\d+)*$/

/** Each begins with a double that knows of nothing, and leaves no token open. */
function test(name: string, run: (t: Test, double: Double) => Promise<void>): void {
  t.test(name, { skip: noDouble }, async t => {
    const double = winsockDouble()
    double.reset()
    await run(t, double)
    t.equal(double.openTokens(), 0, 'no token is left open')
  })
}

type Double = ReturnType<typeof winsockDouble>

test('a query says what the system says', async (t, double) => {
  const target = await securedConnection(t)
  double.answers({ flags: 7, mmSaId: 2n ** 63n, qmSaId: 7n, negotiationWinerr: 13801 })
  const info = await securityInfo(
    await querySecurity(target, { tokenAccess: IDENTIFY }),
    'host/db.example.com',
  )
  t.match(info, {
    secured: true,
    encrypted: true,
    protocol: 'ipsec',
    resumed: false,
    peer: {
      targetName: 'host/db.example.com',
      names: [],
      user: { sid: SID, name: NAME },
      machine: { sid: SID, name: NAME },
    },
    ipsec: {
      impersonated: true,
      mainModeSaId: '9223372036854775808',
      quickModeSaId: '7',
      negotiationError: 13801,
    },
  })
  t.doesNotThrow(() => JSON.stringify(info))
})

test('of datagrams it is about one peer', async (t, double) => {
  double.answerFor(5001, { flags: 1 })
  const target = await securedDatagrams(t)
  const ask = async (port: number) => {
    const peer = { family: 4, address: '127.0.0.1', port } as const
    return securityInfo(await querySecurity(target, { peer, tokenAccess: IDENTIFY }))
  }
  t.match(await ask(5000), { secured: true, encrypted: true, peer: { user: { sid: SID } } })
  t.match(await ask(5001), { secured: true, encrypted: false, peer: { user: { sid: SID } } })
})

test('who is not known is not there', async (t, double) => {
  const target = await securedConnection(t)
  const ask = async (name?: string) =>
    securityInfo(await querySecurity(target, { tokenAccess: IDENTIFY }), name)
  double.answers({ userToken: false })
  t.match((await ask()).peer, { user: undefined, machine: { sid: SID } })
  double.answers({ machineToken: false })
  t.match((await ask()).peer, { user: { sid: SID }, machine: undefined })
  double.answers({ userToken: false, machineToken: false })
  t.notOk('peer' in (await ask()))
  t.strictSame((await ask('host/a')).peer, { targetName: 'host/a', names: [] })
  // Nobody has proved anything where nothing is secured.
  double.answers({ flags: 0 })
  t.match(await ask('host/a'), { secured: false, encrypted: false, protocol: 'none' })
  t.notOk('peer' in (await ask('host/a')))
})

test('tokens are closed whatever is made of them', async (t, double) => {
  const target = await securedConnection(t)
  const query = () => querySecurity(target, { tokenAccess: IDENTIFY })
  const failure = new Error('in between')
  const info = await query()
  t.equal(double.openTokens(), 2)
  t.throws(
    () =>
      takeTokens(info, () => {
        throw failure
      }),
    failure,
  )
  t.equal(double.openTokens(), 0)
  // Nobody waits for it: the handles are closed before anything is waited for.
  void securityInfo(await query())
  t.equal(double.openTokens(), 0)
  // A handle that is none: an answer that makes no sense harms nobody.
  const real = await query()
  const { peer } = await securityInfo({ ...real, userToken: 0x7ffffff0, machineToken: 0 })
  t.equal(peer, undefined)
  takeTokens(real, () => {})
})

test('a hundred queries leave no handle behind', async (t, double) => {
  const target = await securedConnection(t)
  const query = async () => securityInfo(await querySecurity(target, { tokenAccess: IDENTIFY }))
  await query()
  const before = double.handles()
  const given = double.givenTokens()
  for (let i = 0; i < 10; i++) await Promise.all(Array.from({ length: 10 }, query))
  t.ok(double.handles() - before <= 2, `${double.handles() - before} more handles`)
  t.equal(double.givenTokens() - given, 200)
})

test('an account that the system does not know has a SID and no name', async t => {
  // S-1-5-21-1-2-3-4
  const unknown = Buffer.from(
    '010500000000000515000000010000000200000003000000'.concat('04000000'),
    'hex',
  )
  t.equal(await lookupAccountSid(unknown), null)
  // S-1-5-18
  const system = Buffer.from('010100000000000512000000', 'hex')
  t.match(await lookupAccountSid(system), { name: 'SYSTEM' })
  t.match(openThreadToken(TOKEN_QUERY), { error: 1008 }, 'asking acts as nobody')
})
