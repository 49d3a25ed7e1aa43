/** What WSASetSocketPeerTargetName takes, byte for byte. */
import t from 'tap'
import {
  type PeerTargetNameStructure,
  sizeofPeerTargetNameWith,
  writePeerTargetName,
} from '../../../../src/providers/winsock/structures/peer-target-name.js'
import { bytes, dirty, zeros } from './bytes.js'

const syscall = 'WSASetSocketPeerTargetName'

const structure: PeerTargetNameStructure = {
  protocol: 2,
  peer: { family: 4, address: '192.0.2.1', port: 8080 },
  name: 'host/ü',
}
const expected = bytes(
  ['02000000', 'SecurityProtocol'],
  [zeros(4), 'padding'],
  [`0200 1f90 c0000201 ${zeros(120)}`, 'PeerAddress at 8'],
  ['0c000000', 'PeerTargetNameStringLen at 136, in bytes'],
  ['6800 6f00 7300 7400 2f00 fc00', 'AllStrings at 140'],
  [zeros(4), 'a NUL, up to the size of the structure and its string'],
)

t.test('SOCKET_PEER_TARGET_NAME', async t => {
  t.equal(sizeofPeerTargetNameWith('host/ü'), 144 + 12)
  const into = dirty(158)
  t.equal(writePeerTargetName(into, structure), 156)
  t.same(into.subarray(0, 156), expected)
  t.same(into.subarray(156), dirty(2))
})

t.test('of an IPv6 peer', async t => {
  const into = dirty(156)
  const peer = { family: 6, address: 'fe80::1%3', port: 1 } as const
  writePeerTargetName(into, { ...structure, peer })
  const address = bytes('1700', '0001', zeros(4), 'fe80', zeros(13), '01', '03000000', zeros(100))
  t.same(into.subarray(8, 136), address)
})

t.test('the length can count characters, as some say it does', async t => {
  const into = dirty(156)
  writePeerTargetName(into, { ...structure, protocol: 1, lengthIn: 'characters' })
  const other = Buffer.from(expected)
  other.writeUInt32LE(1, 0)
  other.writeUInt32LE(6, 136)
  t.same(into, other)
})

t.test('a character outside the basic plane counts as two', async t => {
  const name = 'host/\u{1f512}'
  const into = dirty(sizeofPeerTargetNameWith(name))
  writePeerTargetName(into, { ...structure, name })
  t.equal(into.readUInt32LE(136), 14)
  t.same(into.subarray(150, 154), bytes('3dd8 12dd'))
})

t.test('a buffer that is too small is EMSGSIZE (R5), and nothing is written', async t => {
  for (let length = 0; length < expected.length; length++) {
    const into = dirty(length)
    t.throws(
      () => writePeerTargetName(into, structure),
      { code: 'EMSGSIZE', winsock: 'WSAEMSGSIZE', syscall },
      `${length} bytes`,
    )
    t.same(into, dirty(length))
  }
})

t.test('a name for what is no address is EINVAL', async t => {
  const peer = { family: 4, address: 'db.example.com', port: 1 } as const
  t.throws(() => writePeerTargetName(dirty(156), { ...structure, peer }), {
    code: 'EINVAL',
    syscall,
  })
})
