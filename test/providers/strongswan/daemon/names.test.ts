// Names are all that processes know of each other's connections: whatever is in them must come out again.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import {
  ANY,
  type ChildDescription,
  childName,
  connectionName,
  credentialOf,
  guardName,
  isOurs,
  isStale,
  newOwnerName,
  ownerOf,
  ownOwner,
  parseChildName,
  parseConnectionName,
  parseGuardName,
} from '../../../../src/providers/strongswan/daemon/names.js'

const flow: ChildDescription = {
  kind: 'flow',
  transport: 'udp',
  localAddress: 'fd09::1',
  localPort: 6000,
  remoteAddress: 'fd09::2',
  remotePort: 0,
  rekeySeconds: 3600,
  rekeyBytes: 59_055_800_320,
  inactivitySeconds: 0,
}

t.test('a child says what it lets through', async t => {
  const owner = newOwnerName()
  const name = childName(owner, flow)
  t.strictSame(parseChildName(name), flow)
  t.equal(ownerOf(name), owner)
  t.ok(isOurs(name))
  t.ok(Buffer.byteLength(name) <= 255)
  for (const other of ['', 'home', 'a_b', name.replace('flow', 'other'), name.replace('udp', 'ip')])
    t.equal(parseChildName(other), undefined, other)
})

t.test('a connection says what it is for', async t => {
  const connection = {
    credential: 'k00ff',
    likeness: '0123456789abcdef',
    localAddress: '10.9.0.1',
    remoteAddress: ANY,
    localId: 'O=Example Ltd_, CN="a~b", OU=ü',
    remoteId: '%any',
  }
  const name = connectionName(connection)
  t.match(name, /^[\x21-\x7e]+$/, 'in characters that the daemon prints as they are')
  t.strictSame(parseConnectionName(name), connection)
  t.equal(credentialOf(name), 'k00ff')
  t.equal(parseConnectionName('home'), undefined)
  t.equal(credentialOf('home'), undefined)
})

t.test('where a name would be too long for VICI it only tells connections apart', async t => {
  const connection = {
    credential: `k${'0'.repeat(40)}`,
    likeness: '0123456789abcdef',
    localAddress: '10.9.0.1',
    remoteAddress: '10.9.0.2',
    localId: 'a.example',
    remoteId: `CN=${'b'.repeat(300)}`,
  }
  const name = connectionName(connection)
  t.ok(name.length <= 255)
  t.not(name, connectionName({ ...connection, remoteId: `CN=${'b'.repeat(301)}` }))
  t.equal(parseConnectionName(name), undefined)
  t.equal(credentialOf(name), connection.credential)
})

t.test('a guard says which port it guards', async t => {
  const owner = newOwnerName()
  t.strictSame(parseGuardName(guardName(owner, 'tcp', ANY, 443)), {
    owner,
    transport: 'tcp',
    localAddress: ANY,
    localPort: 443,
  })
  t.equal(parseGuardName('home'), undefined)
})

t.test('who lives and who does not', { skip: process.platform !== 'linux' }, async t => {
  const { namespace, pid, startTime } = ownOwner()
  t.notOk(isStale(newOwnerName()))
  t.ok(isStale(`${namespace}-${pid}-${Number(startTime) - 1}-00000000-1`), 'the number of another')
  t.notOk(isStale(`1-${pid}-1-00000000-1`), 'of another namespace nobody can tell')
  t.notOk(isStale('whatever'))
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'exit')
  t.ok(isStale(`${namespace}-${child.pid}-${startTime}-00000000-1`), 'a process that has ended')
})
