// Which children stand in which connection of the daemon, whoever they belong to; and what goes again.
import t, { type Test } from 'tap'
import {
  Connections,
  type Wanted,
} from '../../../../src/providers/strongswan/daemon/connections.js'
import { Link } from '../../../../src/providers/strongswan/daemon/link.js'
import {
  ANY,
  type ChildDescription,
  childName,
  newOwnerName,
  ownOwner,
} from '../../../../src/providers/strongswan/daemon/names.js'
import type { ConnectionPlan } from '../../../../src/providers/strongswan/plans/plans.js'
import { sectionOf, sectionsOf, textOf } from '../../../../src/providers/strongswan/vici/section.js'
import { fakeVici } from '../fake-vici.js'

const skip = process.platform === 'linux' ? false : 'of Linux'
t.setTimeout(60_000)

const plan: ConnectionPlan = {
  localId: 'fqdn:a.example',
  remoteId: 'fqdn:b.example',
  credential: { kind: 'daemon', auth: 'pubkey' },
  trust: null,
  ikeProposals: ['aes128gcm16-prfsha256-ecp256'],
  espProposals: ['aes128gcm16-ecp256'],
  lifetimes: { ikeRekeySeconds: 7200 },
}

function child(kind: 'flow' | 'listener', localPort: number): ChildDescription {
  const listens = kind === 'listener'
  return {
    kind,
    transport: 'udp',
    localAddress: listens ? ANY : '10.9.0.1',
    localPort,
    remoteAddress: listens ? ANY : '10.9.0.2',
    remotePort: listens ? 0 : 5000,
    rekeySeconds: 3600,
    rekeyBytes: 0,
    inactivitySeconds: 0,
  }
}

function flow(localPort: number, changes: Partial<ConnectionPlan> = {}): Wanted {
  const description = child('flow', localPort)
  const name = childName(newOwnerName(), description)
  return { child: name, description, plan: { ...plan, ...changes } }
}

function listener(localPort: number, changes: Partial<ConnectionPlan> = {}): Wanted {
  const description = child('listener', localPort)
  const name = childName(newOwnerName(), description)
  return { child: name, description, plan: { ...plan, remoteId: '%any', ...changes } }
}

/** A daemon that keeps what it is given. */
async function daemon(t: Test) {
  const connections = new Map<string, string[]>()
  const secrets = new Set<string>()
  const done: string[] = []
  /** What somebody else unloads between our look and our request. */
  const taken = new Set<string>()
  const vici = await fakeVici(t, {
    'list-conns': (_, client) => {
      for (const [name, children] of connections)
        client.event('list-conn', {
          [name]: {
            children: Object.fromEntries(children.map(each => [each, { mode: 'TRANSPORT' }])),
          },
        })
      return {}
    },
    'list-sas': () => ({}),
    'load-conn': request => {
      for (const [name, section] of sectionsOf(request)) {
        if (textOf(section, 'dpd_delay') === undefined)
          return { success: false, errmsg: 'incomplete' }
        const children = sectionsOf(sectionOf(section, 'children'))
        if (children.some(([name]) => name.includes('_6666_')))
          return { success: false, errmsg: 'no such port' }
        connections.set(
          name,
          children.map(([child]) => child),
        )
      }
      return { success: true }
    },
    'unload-conn': request => {
      const name = textOf(request, 'name') as string
      done.push(`unload ${name}`)
      return connections.delete(name) && !taken.has(name)
        ? { success: true }
        : { success: false, errmsg: `unload: connection '${name}' not found` }
    },
    'load-shared': request => {
      secrets.add(textOf(request, 'id') as string)
      return { success: true }
    },
    'unload-shared': request => ({ success: secrets.delete(textOf(request, 'id') as string) }),
    terminate: request => {
      done.push(`terminate ${textOf(request, 'child') ?? textOf(request, 'ike')}`)
      return { success: false, errmsg: 'no matching SAs to terminate found' }
    },
  })
  const link = new Link(vici.path, { event: () => {}, lost: () => {} })
  t.teardown(() => link.close())
  return { connections, secrets, taken, done, ours: new Connections(link) }
}

t.test("a listener's child stands where its peers may come in", { skip }, async t => {
  const { ours, connections } = await daemon(t)
  const [one, listens, stricter] = await Promise.all([
    ours.add(flow(6000)),
    ours.add(listener(5001)),
    ours.add(flow(6001, { espProposals: ['aes256gcm16-ecp384'] })),
  ])
  t.strictSame(connections.get(one.connection)?.sort(), [one.child, listens.child].sort())
  t.strictSame(connections.get(listens.connection), [listens.child])
  t.strictSame(
    connections.get(stricter.connection),
    [stricter.child],
    'but not where other things are demanded',
  )
  await ours.remove(listens)
  t.strictSame(connections.get(one.connection), [one.child])
  t.notOk(connections.has(listens.connection))
})

t.test('what others have there stays, until they are dead', { skip }, async t => {
  const { ours, connections, done } = await daemon(t)
  const mine = await ours.add(flow(6000))
  const theirs = { ...child('flow', 6001) }
  const { namespace } = ownOwner()
  const alive = childName(`1-1-1-00000000-1`, theirs)
  const dead = childName(`${namespace}-${2 ** 22 + 1}-1-00000000-1`, { ...theirs, localPort: 6002 })
  connections.get(mine.connection)?.push(alive, dead)
  const second = await ours.add(flow(6003))
  t.equal(second.connection, mine.connection)
  t.strictSame(connections.get(mine.connection)?.sort(), [mine.child, second.child, alive].sort())
  t.ok(done.includes(`terminate ${dead}`), 'and so do its keys')
})

t.test('a connection without a flow stays a while', { skip }, async t => {
  const { ours, connections, done } = await daemon(t)
  const one = await ours.add(flow(6000))
  await ours.remove(one)
  t.match(connections.get(one.connection), [/_idle_/])
  t.ok(done.includes(`terminate ${one.child}`))
  const two = await ours.add(flow(6001))
  t.strictSame(connections.get(two.connection), [two.child])
  await ours.remove(two)
  await ours.clear()
  t.equal(connections.size, 0)
  t.ok(done.includes(`terminate ${one.connection}`))
})

t.test('who asks for what the daemon refuses is told, and nobody else', { skip }, async t => {
  const { ours, connections } = await daemon(t)
  const good = await ours.add(flow(6000))
  const bad = flow(6666)
  await t.rejects(ours.add(bad), { code: 'EPROTO', message: /no such port/ })
  t.strictSame(connections.get(good.connection), [good.child])
  const after = await ours.add(flow(6001))
  t.strictSame(connections.get(good.connection)?.sort(), [good.child, after.child].sort())
})

t.test('what somebody else has unloaded meanwhile keeps nobody out', { skip }, async t => {
  const { ours, connections, taken, done } = await daemon(t)
  const other = await ours.add(flow(6000, { espProposals: ['aes256gcm16-ecp384'] }))
  await ours.remove(other)
  await ours.clear()
  const { namespace } = ownOwner()
  const dead = childName(`${namespace}-${2 ** 22 + 1}-1-00000000-1`, child('flow', 6002))
  connections.set(other.connection, [dead])
  taken.add(other.connection)
  done.length = 0
  const one = await ours.add(flow(6001))
  t.ok(done.includes(`unload ${other.connection}`), 'it was tried')
  t.strictSame(connections.get(one.connection), [one.child])
})

t.test('one secret at a time for a peer', { skip }, async t => {
  const { ours, secrets } = await daemon(t)
  const withSecret = (port: number, secret: string) =>
    flow(port, { credential: { kind: 'psk', secret: () => Buffer.from(secret) } })
  const one = await ours.add(withSecret(6000, 'the first of two secrets'))
  await t.rejects(ours.add(withSecret(6001, 'the second of two secrets')), {
    code: 'ENOCREDENTIAL',
    message: /fqdn:b\.example/,
  })
  await ours.remove(one)
  const other = await ours.add(withSecret(6001, 'the second of two secrets'))
  t.not(other.connection, one.connection)
  t.equal(secrets.size, 1)
  await ours.remove(other)
  await ours.clear()
  t.equal(secrets.size, 0)
})

t.test('a daemon that was started anew gets everything again', { skip }, async t => {
  const { ours, connections } = await daemon(t)
  const one = await ours.add(flow(6000))
  const listens = await ours.add(listener(5001))
  const before = new Map(connections)
  connections.clear()
  await ours.restore()
  const sorted = (map: Map<string, string[]>) =>
    [...map].map(([name, children]) => [name, [...children].sort()]).sort()
  t.strictSame(sorted(connections), sorted(before))
  await ours.remove(one)
  await ours.remove(listens)
})
