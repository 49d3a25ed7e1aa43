/** What WSAQuerySocketSecurity answers, from the bytes that Windows would give. */
import t from 'tap'
import {
  readQueryInfo,
  readTokens,
} from '../../../../src/providers/winsock/structures/query-info.js'
import { bytes } from './bytes.js'

const plain = bytes(
  ['01000000', 'SecurityProtocol'],
  ['03000000', 'Flags'],
  ['3412000000000000', 'PeerApplicationAccessTokenHandle'],
  ['7856000000000000', 'PeerMachineAccessTokenHandle'],
)
const ipsec2 = bytes(
  ['02000000', 'SecurityProtocol'],
  ['05000000', 'Flags'],
  ['0400000000000000', 'PeerApplicationAccessTokenHandle'],
  ['0000000000000000', 'PeerMachineAccessTokenHandle'],
  ['efcdab8967452301', 'MmSaId at 24'],
  ['ffffffffffffffff', 'QmSaId'],
  ['ea350000', 'NegotiationWinerr at 40: 13802'],
  ['3d2c1b0a 5f4e 8967 abcdef0123456789', 'SaLookupContext at 44'],
  '00000000',
)

t.test('SOCKET_SECURITY_QUERY_INFO', async t => {
  t.same(readQueryInfo(plain), {
    flags: 3,
    secured: true,
    encrypted: true,
    impersonated: false,
    userToken: 0x1234,
    machineToken: 0x5678,
  })
})

t.test('SOCKET_SECURITY_QUERY_INFO_IPSEC2', async t => {
  t.same(readQueryInfo(ipsec2), {
    flags: 5,
    secured: true,
    encrypted: false,
    impersonated: true,
    userToken: 4,
    machineToken: 0,
    ipsec2: {
      mmSaId: 0x0123456789abcdefn,
      qmSaId: 0xffffffffffffffffn,
      negotiationError: 13802,
      saLookupContext: '0a1b2c3d-4e5f-6789-abcd-ef0123456789',
    },
  })
})

t.test('each flag by itself; encrypted is secured', async t => {
  const answers = [
    [0, false, false, false],
    [1, true, false, false],
    [2, true, true, false],
    [4, false, false, true],
    [8, false, false, false],
  ] as const
  for (const [flags, secured, encrypted, impersonated] of answers) {
    const answer = Buffer.from(plain)
    answer.writeUInt32LE(flags, 4)
    t.match(readQueryInfo(answer), { flags, secured, encrypted, impersonated }, `${flags}`)
  }
})

t.test('an answer that is cut is EMSGSIZE (R5), never one without security', async t => {
  const wanted = { code: 'EMSGSIZE', winsock: 'WSAEMSGSIZE', syscall: 'WSAQuerySocketSecurity' }
  for (let length = 0; length < 64; length++) {
    if (length < 24) t.throws(() => readQueryInfo(plain.subarray(0, length)), wanted)
    t.throws(() => readQueryInfo(ipsec2.subarray(0, length)), wanted, `${length} bytes`)
  }
})

t.test('the tokens can be read of any answer that has them, to be closed', async t => {
  t.same(readTokens(plain), { userToken: 0x1234, machineToken: 0x5678 })
  t.same(readTokens(ipsec2.subarray(0, 24)), { userToken: 4, machineToken: 0 })
  t.throws(() => readTokens(plain.subarray(0, 23)), { code: 'EMSGSIZE' })
})
