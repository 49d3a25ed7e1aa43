/** What WSASetSocketSecurity takes, byte for byte. */
import t from 'tap'
import {
  type SecuritySettingsIpsecStructure,
  sizeofSecuritySettingsIpsecWith,
  writeSecuritySettings,
  writeSecuritySettingsIpsec,
} from '../../../../src/providers/winsock/structures/security-settings.js'
import { bytes, dirty, zeros } from './bytes.js'

const syscall = 'WSASetSocketSecurity'

t.test('SOCKET_SECURITY_SETTINGS', async t => {
  const into = dirty(10)
  t.equal(writeSecuritySettings(into, { protocol: 0, securityFlags: 1 }), 8)
  t.same(into, Buffer.concat([bytes('00000000', '01000000'), dirty(2)]))
})

t.test('SOCKET_SECURITY_SETTINGS_IPSEC with nothing but flags', async t => {
  const settings = { protocol: 1, securityFlags: 1, ipsecFlags: 0x0f }
  t.equal(sizeofSecuritySettingsIpsecWith(settings), 88)
  const into = dirty(90)
  t.equal(writeSecuritySettingsIpsec(into, settings), 88)
  t.same(into.subarray(0, 88), bytes('01000000', '01000000', '0f000000', zeros(76)))
  t.same(into.subarray(88), dirty(2))
})

const everything: SecuritySettingsIpsecStructure = {
  protocol: 2,
  securityFlags: 3,
  ipsecFlags: 8,
  mainModePolicy: '0a1b2c3d-4e5f-6789-abcd-ef0123456789',
  quickModePolicy: 'fedcba98-7654-3210-fedc-ba9876543210',
  userName: 'Jö',
  domainName: 'CORP',
  password: Buffer.from('pw€', 'utf16le'),
}
const everythingBytes = bytes(
  ['02000000', 'SecurityProtocol'],
  ['03000000', 'SecurityFlags'],
  ['08000000', 'IpsecFlags'],
  ['3d2c1b0a 5f4e 8967 abcdef0123456789', 'AuthipMMPolicyKey at 12'],
  ['98badcfe 5476 1032 fedcba9876543210', 'AuthipQMPolicyKey at 28'],
  [zeros(16), 'Reserved at 44'],
  [zeros(4), 'padding'],
  [zeros(8), 'Reserved2 at 64'],
  ['04000000', 'UserNameStringLen at 72, in bytes'],
  ['08000000', 'DomainNameStringLen'],
  ['06000000', 'PasswordStringLen'],
  ['4a00 f600', 'AllStrings at 84: Jö'],
  ['4300 4f00 5200 5000', 'CORP'],
  ['7000 7700 ac20', 'pw€'],
  [zeros(4), 'a NUL, up to the size of the structure and its strings'],
)

t.test('SOCKET_SECURITY_SETTINGS_IPSEC with everything', async t => {
  t.equal(sizeofSecuritySettingsIpsecWith(everything), everythingBytes.length)
  const into = dirty(everythingBytes.length + 2)
  t.equal(writeSecuritySettingsIpsec(into, everything), everythingBytes.length)
  t.same(into.subarray(0, -2), everythingBytes)
  t.same(into.subarray(-2), dirty(2))
})

t.test('each string alone has its length in its own place', async t => {
  for (const [key, at] of [
    ['userName', 72],
    ['domainName', 76],
    ['password', 80],
  ] as const) {
    const value = key === 'password' ? Buffer.from('ab', 'utf16le') : 'ab'
    const into = dirty(92)
    writeSecuritySettingsIpsec(into, {
      protocol: 1,
      securityFlags: 1,
      ipsecFlags: 0,
      [key]: value,
    })
    const expected = Buffer.alloc(92)
    bytes('0100000001000000').copy(expected)
    expected.writeUInt32LE(4, at)
    bytes('61006200').copy(expected, 84)
    t.same(into, expected, key)
  }
})

t.test('a buffer that is too small is EMSGSIZE (R5), and nothing is written', async t => {
  for (let length = 0; length < 8; length++) {
    t.throws(() => writeSecuritySettings(dirty(length), { protocol: 0, securityFlags: 0 }), {
      code: 'EMSGSIZE',
      winsock: 'WSAEMSGSIZE',
      syscall,
    })
  }
  for (let length = 0; length < everythingBytes.length; length++) {
    const into = dirty(length)
    t.throws(
      () => writeSecuritySettingsIpsec(into, everything),
      { code: 'EMSGSIZE', winsock: 'WSAEMSGSIZE', syscall, message: `${length} bytes` },
      `${length} bytes`,
    )
    t.same(into, dirty(length))
  }
})
