/** What of windows-check needs no Windows: its command line, its structures, and what it leaves out of reports. */
import { hostname } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { nameless } from '../../examples/windows-check/report.js'
import * as variants from '../../examples/windows-check/variants.js'
import * as constants from '../../src/providers/winsock/structures/constants.js'
import {
  sizeofPeerTargetNameWith,
  writePeerTargetName,
} from '../../src/providers/winsock/structures/peer-target-name.js'
import { sockaddr } from '../../src/providers/winsock/structures/sockaddr.js'
import { launch } from '../support/program.js'
import { root } from '../support/project-root.js'

const script = join(root, 'examples/windows-check/windows-check.mjs')

t.test('it explains itself, and says what it does not understand', async t => {
  const help = await run(t, '--help')
  t.equal(help.code, 0)
  for (const word of ['Usage:', 'machine', 'server', 'client', '--spn', '--output', '--names'])
    t.match(help.output, word)
  t.notMatch(help.output, /.{101}/)

  const list = await run(t, '--list')
  t.match(list.output, /^name-length +machine +Is PeerTargetNameStringLen /m)
  t.match(list.output, /^names +peer /m)

  for (const [args, complaint] of [
    [[], 'machine, server or client?'],
    [['client'], 'a client needs SERVER'],
    [['server', 'other'], 'a client needs SERVER'],
    [['machine', '--only', 'nothing'], 'there is no question nothing'],
    [['machine', '--port', '99999'], '--port: a number from 0 to 65000'],
    [['machine', '--prot', '1'], '--prot'],
  ] as const) {
    const { code, output } = await run(t, ...args)
    t.equal(code, 2)
    t.match(output, complaint)
  }
})

t.test(
  'elsewhere than on Windows it does nothing',
  { skip: process.platform === 'win32' },
  async t => {
    const { code, output } = await run(t, 'machine')
    t.equal(code, 1)
    t.match(output, 'asks Windows, and this is none')
  },
)

// Two encoders that know nothing of each other: a mistake would have to be made twice.
t.test('what it sends as the library would is what the library sends', async t => {
  const name = 'host/db.example.com'
  for (const [family, address] of [
    [4, '10.1.2.3'],
    [6, '2001:db8::1:0:0:2'],
    [6, '::1'],
  ] as const) {
    const peer = { address, port: 5000 }
    const bytes = variants.socketAddress(peer)
    t.same(bytes, sockaddr({ family, ...peer }, 'bind'), address)
    t.same(variants.readSocketAddress(bytes), peer)
    const library = Buffer.alloc(sizeofPeerTargetNameWith(name))
    const protocol = constants.NAME_PROTOCOL
    writePeerTargetName(library, { protocol, peer: { family, ...peer }, name })
    t.same(variants.peerTargetName('IPSEC2', name, { peer }), library)
  }
})

t.test('a report keeps names and addresses for itself', async t => {
  const report = {
    steps: [
      `host/db.corp.example.com at 10.0.0.5:27101, DB\\svc, ${hostname()}`,
      '10.0.0.50 is another address, and redbull another word',
    ],
  }
  const found = nameless(report, {
    'db.corp.example.com': '<server>',
    '10.0.0.5': '<server address>',
    DB: '<server>',
  })
  t.same(found, {
    steps: [
      'host/<server> at <server address>:27101, <server>\\svc, <this machine>',
      '10.0.0.50 is another address, and redbull another word',
    ],
  })
})

async function run(t: Test, ...args: string[]) {
  const program = launch(t, process.execPath, [script, ...args])
  const { code } = await program.ended(20_000)
  return { code, output: program.output }
}
