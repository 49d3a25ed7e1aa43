/** What WSAQuerySocketSecurity is asked, byte for byte. */
import t from 'tap'
import {
  writeQueryTemplate,
  writeQueryTemplateIpsec2,
} from '../../../../src/providers/winsock/structures/query-template.js'
import { bytes, dirty, zeros } from './bytes.js'

const syscall = 'WSAQuerySocketSecurity'
const peer = { family: 4, address: '192.0.2.1', port: 8080 } as const
const address = ['0200', '1f90', 'c0000201', zeros(120)]

t.test('SOCKET_SECURITY_QUERY_TEMPLATE', async t => {
  const into = dirty(146)
  t.equal(writeQueryTemplate(into, { protocol: 1, peer, tokenAccess: 0x0c }), 144)
  const expected = bytes('01000000', zeros(4), ...address, ['0c000000', 'at 136'], zeros(4))
  t.same(into.subarray(0, 144), expected)
  t.same(into.subarray(144), dirty(2))
})

t.test('SOCKET_SECURITY_QUERY_TEMPLATE_IPSEC2', async t => {
  const into = dirty(154)
  const template = { protocol: 2, peer, tokenAccess: 8, flags: 1, fieldMask: 3 }
  t.equal(writeQueryTemplateIpsec2(into, template), 152)
  const expected = bytes(
    ['02000000', 'SecurityProtocol'],
    zeros(4),
    ...address,
    ['08000000', 'PeerTokenAccessMask at 136'],
    ['01000000', 'Flags'],
    ['03000000', 'FieldMask'],
    [zeros(4), 'padding'],
  )
  t.same(into.subarray(0, 152), expected)
  t.same(into.subarray(152), dirty(2))
})

t.test('without a peer its address is zero', async t => {
  const into = dirty(144)
  writeQueryTemplate(into, { protocol: 0, tokenAccess: 0 })
  t.same(into, Buffer.alloc(144))
})

t.test('a buffer that is too small is EMSGSIZE (R5), and nothing is written', async t => {
  const plain = { protocol: 1, peer, tokenAccess: 0 }
  for (let length = 0; length < 152; length++) {
    const into = dirty(length)
    const wanted = { code: 'EMSGSIZE', winsock: 'WSAEMSGSIZE', syscall }
    if (length < 144) t.throws(() => writeQueryTemplate(into, plain), wanted)
    t.throws(() => writeQueryTemplateIpsec2(into, { ...plain, flags: 0, fieldMask: 3 }), wanted)
    t.same(into, dirty(length))
  }
})
