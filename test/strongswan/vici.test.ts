/**
 * VICI as strongSwan itself speaks it, and the reasons for which two daemons do not come to terms,
 * as it words them: each ends as the error that says what to do.
 */
import { execFileSync } from 'node:child_process'
import { EventEmitter } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { ControlLog } from '../../src/providers/strongswan/daemon/control-log.js'
import { CommandError } from '../../src/providers/strongswan/daemon/errors.js'
import { initiateError } from '../../src/providers/strongswan/daemon/initiate-error.js'
import { connectVici } from '../../src/providers/strongswan/vici/connect.js'
import {
  listOf,
  type Message,
  type Section,
  sectionOf,
  sectionsOf,
  textOf,
} from '../../src/providers/strongswan/vici/section.js'
import { event as next } from '../support/events.js'

const ours = await connectVici('/run/a/charon.vici')
const theirs = await connectVici('/run/b/charon.vici')
t.teardown(() => {
  ours.close()
  theirs.close()
})

const file = (name: string) => readFileSync(`/run/ca/${name}`)
const der = (name: string) => {
  const [, base64] = /-----BEGIN [^-]+-----([^-]+)/.exec(file(name).toString()) as RegExpExecArray
  return Buffer.from(base64 as string, 'base64')
}

interface Differences {
  readonly local?: string
  readonly remote?: string
  readonly localId?: string
  readonly remoteId?: string
  readonly certificate?: string
  readonly authority?: string
  readonly psk?: boolean
  readonly ike?: string
  readonly esp?: string
  readonly here?: string
  readonly there?: string
}

/** A connection with one child, of this host with b or the other way round. */
function connection(differences: Differences): Message {
  const given = { ike: 'aes128gcm16-prfsha256-ecp256', esp: 'aes128gcm16-ecp256', ...differences }
  const auth = given.psk ? 'psk' : 'pubkey'
  const child = {
    mode: 'transport',
    esp_proposals: [given.esp],
    local_ts: [given.here as string],
    remote_ts: [given.there as string],
  }
  return {
    vici: {
      version: 2,
      mobike: false,
      unique: 'never',
      local_addrs: [given.local as string],
      remote_addrs: [given.remote as string],
      proposals: [given.ike],
      local: {
        auth,
        id: given.localId as string,
        certs: given.psk ? undefined : [der(given.certificate as string)],
      },
      remote: {
        auth,
        id: given.remoteId as string,
        cacerts: given.psk ? undefined : [der(given.authority ?? 'ca.pem')],
      },
      children: { child },
    },
  }
}

const onA: Differences = {
  local: '10.9.0.1',
  remote: '10.9.0.2',
  localId: 'a.example',
  remoteId: 'b.example',
  certificate: 'a.pem',
  here: '10.9.0.1/32[udp/6000]',
  there: '10.9.0.2/32[udp/5000]',
}
const onB: Differences = {
  local: '10.9.0.2',
  remote: '%any',
  localId: 'b.example',
  remoteId: '%any',
  certificate: 'b.pem',
  here: 'dynamic[udp/5000]',
  there: 'dynamic[udp]',
}

/** Negotiates, from nothing; undefined where it succeeds. */
async function negotiate(a: Differences, b: Differences | null): Promise<Error | undefined> {
  for (const vici of [ours, theirs])
    await vici.request('unload-conn', { name: 'vici' }).catch(expectRefusal)
  const given = { ...onA, ...a }
  await ours.request('load-conn', connection(given))
  if (b !== null) await theirs.request('load-conn', connection({ ...onB, ...b }))
  const log = new ControlLog()
  try {
    const message = { ike: 'vici', child: 'child', timeout: 2000 }
    await ours.stream('initiate', message, 'control-log', event => log.add(event))
    return undefined
  } catch (error) {
    const peer = `${given.remote}:5000`
    return initiateError(error, log, { peer, remoteId: given.remoteId as string })
  } finally {
    const all = { ike: 'vici', force: true, timeout: 1000 }
    for (const vici of [ours, theirs]) await vici.request('terminate', all).catch(expectRefusal)
  }
}

function expectRefusal(error: Error) {
  if (!(error instanceof CommandError)) throw error
}

t.test('what the daemon tells of itself', async t => {
  const version = await ours.request('version')
  t.match(version, { daemon: 'charon-systemd', version: /^\d+\.\d+/, sysname: 'Linux' })
  const stats = await ours.request('stats')
  t.ok(listOf(stats, 'plugins').includes('kernel-netlink'))
  t.match(textOf(sectionOf(stats, 'ikesas'), 'total'), /^\d+$/)
  t.match(await ours.request('no-such-command').catch(error => error), { code: 'EOPNOTSUPP' })
  t.match(await ours.on('no-such-event', () => {}).catch(error => error), { code: 'EOPNOTSUPP' })
})

t.test('what the daemon refuses', async t => {
  const refusals: [command: string, message: Message, errmsg: RegExp][] = [
    ['initiate', { child: 'none', timeout: 1000 }, /CHILD_SA config 'none' not found/],
    ['unload-conn', { name: 'none' }, /connection 'none' not found/],
    ['terminate', { child: 'none' }, /no matching SAs/],
    ['load-conn', { vici: { no_such_option: 1 } }, /unknown option: no_such_option/],
    ['load-conn', { vici: { children: { c: { esp_proposals: ['x'] } } } }, /esp_proposals/],
    ['load-key', { type: 'any', data: Buffer.from('no key') }, /parsing ANY private key failed/],
  ]
  for (const [command, message, errmsg] of refusals) {
    const error = await ours.request(command, message).catch(error => error)
    t.match(error, { name: 'SocketSecurityError', code: 'EPROTO', command, errmsg })
  }
})

t.test('a message as large as the daemon takes, and larger', async t => {
  const name = (n: number) => `x${n}`
  const value = Buffer.alloc(65_000)
  const filled = (values: number) =>
    Object.fromEntries(Array.from({ length: values }, (_, n) => [name(n), value]))
  t.ok(await ours.request('version', filled(8)))
  t.match(await ours.request('version', filled(9)).catch(error => error), { code: 'EMSGSIZE' })
  t.ok(await ours.request('version'))
})

t.test('keys', async t => {
  for (const [vici, names] of [
    [ours, ['a.key']],
    [theirs, ['b.key', 'stranger-b.key']],
  ] as const)
    for (const name of names)
      t.match(await vici.request('load-key', { type: 'any', data: file(name) }), { success: 'yes' })
})

t.test('a negotiation that succeeds, and its events', async t => {
  const events = new EventEmitter()
  await ours.on('child-updown', section => events.emit('child-updown', section))
  const up = next(events, 'child-updown')
  t.equal(await negotiate({}, {}), undefined)
  const [section] = (await up) as [Section]
  t.equal(textOf(section, 'up'), 'yes')
  const [[, child]] = sectionsOf(sectionOf(sectionOf(section, 'vici'), 'child-sas')) as [
    [string, Section],
  ]
  t.match(child, { name: 'child', state: 'INSTALLED', mode: 'TRANSPORT', protocol: 'ESP' })
  t.same(listOf(child, 'local-ts'), ['10.9.0.1/32[udp/6000]'])
  const conns: Section[] = []
  await ours.stream('list-conns', {}, 'list-conn', section => conns.push(section))
  t.match(conns, [{ vici: { local_addrs: ['10.9.0.1'], children: { child: {} } } }])
})

const failures: [
  what: string,
  code: string,
  message: RegExp,
  a: Differences,
  b: Differences | null,
][] = [
  ['no connection at the peer', 'EPROTO', /does not negotiate with this host/, {}, null],
  [
    'a peer that does not have the name',
    'ERR_PEER_NOT_AUTHENTICATED',
    /refuses this host, or does not answer to the target name/,
    { remoteId: 'other.example' },
    {},
  ],
  [
    'a peer that proves another name',
    'ERR_PEER_TARGET_NAME_MISMATCH',
    /another identity.*'\*\.other\.example' required/,
    // A wildcard is the only way to have strongSwan answer with its own name.
    { remoteId: '*.other.example' },
    {},
  ],
  [
    'a peer that claims the name without a certificate for it',
    'ERR_PEER_NOT_AUTHENTICATED',
    /no trusted certificate with its name/,
    { remoteId: 'other.example' },
    { localId: '%any' },
  ],
  [
    'a peer whose certificate is from a stranger',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    /nobody whom strongSwan trusts/,
    {},
    { certificate: 'stranger-b.pem' },
  ],
  [
    'a peer that does not trust our authority',
    'ERR_PEER_NOT_AUTHENTICATED',
    /refuses this host/,
    {},
    { authority: 'stranger.pem' },
  ],
  [
    'other algorithms of IKE',
    'EPROTO',
    /no common algorithms/,
    { ike: 'aes256-sha384-ecp384' },
    {},
  ],
  [
    'other algorithms of packets',
    'EPROTO',
    /no common algorithms for packets/,
    { esp: 'aes256gcm16-ecp384' },
    {},
  ],
  [
    'a port that the peer does not secure',
    'EPROTO',
    /does not secure this traffic/,
    { there: '10.9.0.2/32[udp/5001]' },
    {},
  ],
  [
    'nobody at the address',
    'ETIMEDOUT',
    /no IKE daemon answers/,
    { remote: '10.9.0.9', there: '10.9.0.9/32[udp/5000]' },
    {},
  ],
  ['no pre-shared key', 'ENOCREDENTIAL', /no key to prove/, { psk: true }, { psk: true }],
]
for (const [what, code, message, a, b] of failures) {
  t.test(what, async t => {
    t.match(await negotiate(a, b), { name: 'SocketSecurityError', code, message })
  })
}

t.test('pre-shared keys that differ, and the same', async t => {
  const load = (vici: typeof ours, owner: string, key: string) =>
    vici.request('load-shared', {
      id: 'vici',
      type: 'ike',
      data: Buffer.from(key),
      owners: [owner],
    })
  await load(ours, 'b.example', 'one')
  await load(theirs, 'a.example', 'another')
  t.match(await negotiate({ psk: true }, { psk: true }), {
    code: 'ERR_PEER_NOT_AUTHENTICATED',
    message: /same pre-shared key/,
  })
  await load(theirs, 'a.example', 'one')
  t.equal(await negotiate({ psk: true }, { psk: true }), undefined)
  for (const vici of [ours, theirs]) await vici.request('unload-shared', { id: 'vici' })
})

// For a while, since all hosts have the kernel in common.
t.test('kernels without ESP', async t => {
  const loader = readFileSync('/proc/sys/kernel/modprobe', 'utf8')
  t.teardown(() => {
    writeFileSync('/proc/sys/kernel/modprobe', loader)
    execFileSync('modprobe', ['esp6'])
  })
  writeFileSync('/proc/sys/kernel/modprobe', '/bin/false')
  execFileSync('rmmod', ['esp6'])
  const a = {
    local: 'fd09::1',
    remote: 'fd09::2',
    here: 'fd09::1/128[udp/6000]',
    there: 'fd09::2/128[udp/5000]',
  }
  t.match(await negotiate(a, { local: 'fd09::2' }), {
    code: 'EPROTO',
    message: /the kernel of the peer does not have them.*has ESP/,
  })
})
