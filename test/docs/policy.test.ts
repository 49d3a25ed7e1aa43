/** docs/policy.md: its example is a policy and does what the text says; its tables have every key. */
import '../support/policy-place.js'

import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { type Flow, staysClear } from '../../src/model/policy/flows.js'
import { inspectPolicy } from '../../src/model/policy/parse.js'
import { problemText } from '../../src/model/policy/problems.js'
import { datagramKeys, streamKeys } from '../../src/model/policy/settings-reader.js'
import { targetNameFor } from '../../src/model/policy/target-names.js'
import { currentPolicy } from '../../src/policy/current-policy.js'
import { reloadPolicy } from '../../src/policy.js'
import { SecureServer } from '../../src/sockets/secure-server.js'
import { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { writePolicy, writeSecret } from '../support/policy-place.js'

const text = readFileSync(new URL('../../docs/policy.md', import.meta.url), 'utf8')
const example = /```json\n(.*?)```/s.exec(text)?.[1] as string

t.test(
  'the example is a policy that secures a connection, and does what the text says',
  async t => {
    const { cert, key, ca } = await testIdentity()
    writeSecret('host.crt', cert)
    writeSecret('host.key', key)
    writeSecret('authority.crt', ca)
    writePolicy(example)
    reloadPolicy()

    const server = new SecureServer(socket => socket.end('hello'))
    server.listen(0, '127.0.0.1')
    await event(server, 'listening')
    t.teardown(() => void server.close())
    const client = new SecureSocket({ security: { alpn: ['x'] } })
    client.connect((server.address() as AddressInfo).port, '127.0.0.1')
    await event(client, 'connect')
    t.match(await client.querySecurity(), { secured: true, version: 'TLSv1.3' })
    client.destroy()

    const policy = currentPolicy()
    const out = { transport: 'tcp', direction: 'out' } as const
    const name = (flow: Partial<Flow>) => targetNameFor(policy, { ...out, ...flow })
    t.equal(name({ host: 'Orders-DB', port: 5432 }), 'host/db-7.example.com')
    t.equal(name({ host: 'orders-db', port: 5433 }), undefined)
    t.equal(name({ host: 'eu.cache.internal', port: 6379 }), 'host/cache.example.com')
    t.equal(name({ host: 'cache.internal', port: 6379 }), undefined)
    t.equal(
      name({ transport: 'udp', address: '10.20.3.4', port: 1 }),
      'spiffe://example.com/sensor',
    )
    t.equal(name({ address: '10.20.3.4', port: 1 }), undefined, 'for UDP only')
    const clear = (flow: Partial<Flow>) => staysClear(policy, { ...out, ...flow })
    t.ok(
      clear({ address: '127.8.0.1' }) && clear({ address: '::1' }) && clear({ transport: 'pipe' }),
    )
    t.ok(clear({ address: '192.168.7.3', port: 9100 }))
    for (const flow of [
      { address: '192.168.7.3', port: 9101 },
      { address: '192.168.8.3', port: 9100 },
      { address: '192.168.7.3', port: 9100, direction: 'in' },
      { address: '192.168.7.3', port: 9100, transport: 'udp' },
      { host: 'localhost', port: 80 },
      { host: 'printer', port: 9100 },
    ] as const)
      t.notOk(clear(flow), JSON.stringify(flow))
  },
)

t.test('the tables have every key', async t => {
  const rows = new Map(
    [...text.matchAll(/^\| `(\w+)` \| (.*) \|$/gm)].map(([, key, row]) => [key, row]),
  )
  const told = (row: string) =>
    [...(rows.get(row) ?? '').matchAll(/`(\w+)`/g)].map(([, key]) => key)
  t.strictSame(told('streams'), [...streamKeys])
  t.strictSame(
    told('datagrams').slice(1),
    datagramKeys.filter(key => !streamKeys.includes(key as never)),
  )
  const top = [
    'protocol',
    'identity',
    'streams',
    'servers',
    'datagrams',
    'targetNames',
    'clear',
    'applicationMaySet',
  ]
  const [known] = inspectPolicy('{"x": 1}', '/p').problems.map(problemText)
  t.equal(known, `$.x is not known there: there can be $schema, ${top.join(', ')}`)
  const [files] = inspectPolicy('{"identity": {"x": 1}}', '/p').problems.map(problemText)
  for (const key of [...top, ...(files?.split('there can be ')[1]?.split(', ') ?? [])])
    t.ok(rows.has(key), key)
})
