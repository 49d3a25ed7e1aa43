/** Addresses as Windows has them: the family with its little end first, port and address with the big one. */
import t from 'tap'
import {
  readSockaddr,
  sockaddr,
  writeSockaddr,
} from '../../../../src/providers/winsock/structures/sockaddr.js'
import { bytes, dirty, zeros } from './bytes.js'

const bind = 'bind'

t.test('SOCKADDR_IN', async t => {
  const expected = bytes('0200', '1f90', 'c0000201', zeros(8))
  const address = { family: 4, address: '192.0.2.1', port: 8080 } as const
  t.same(sockaddr(address, bind), expected)
  t.same(readSockaddr(expected, bind), address)
})

t.test('SOCKADDR_IN6', async t => {
  const expected = bytes(
    '1700',
    ['1f90', 'port'],
    ['00000000', 'flow'],
    '20010db8000000000000000000000001',
    ['00000000', 'scope'],
  )
  const address = { family: 6, address: '2001:db8::1', port: 8080 } as const
  t.same(sockaddr(address, bind), expected)
  t.same(readSockaddr(expected, bind), address)
  for (const same of ['2001:DB8:0:0:0:0:0:1', '2001:db8::0.0.0.1'])
    t.same(sockaddr({ ...address, address: same }, bind), expected, same)
})

t.test('a scope is the number of an interface', async t => {
  const address = { family: 6, address: 'fe80::1%12', port: 1 } as const
  const expected = bytes('1700', '0001', zeros(4), 'fe80', zeros(13), '01', '0c000000')
  t.same(sockaddr(address, bind), expected)
  t.same(readSockaddr(expected, bind), address)
  const largest = { ...address, address: 'fe80::1%4294967295' }
  t.same(sockaddr(largest, bind).subarray(24), bytes('ffffffff'))
})

t.test('an IPv4 address on a socket of IPv6 is mapped', async t => {
  const expected = bytes('1700', '0035', zeros(4), zeros(10), 'ffff', 'c0000201', zeros(4))
  for (const address of ['192.0.2.1', '::ffff:192.0.2.1', '::ffff:c000:201'])
    t.same(sockaddr({ family: 6, address, port: 53 }, bind), expected, address)
  t.same(readSockaddr(expected, bind), { family: 6, address: '::ffff:192.0.2.1', port: 53 })
})

t.test('every address comes back as the system writes it', async t => {
  for (const address of ['::', '::1', '1::', '1:2:3:4:5:6:7:8', '1:0:0:4::8', 'ff02::1%3'])
    t.equal(readSockaddr(sockaddr({ family: 6, address, port: 0 }, bind), bind)?.address, address)
})

t.test(
  'a SOCKADDR_STORAGE has zeros behind the address, and nothing of what was there',
  async t => {
    for (const [family, address] of [
      [4, '127.0.0.1'],
      [6, '::1'],
    ] as const) {
      const into = dirty(130)
      const size = writeSockaddr(into, { family, address, port: 1 }, bind)
      t.equal(size, family === 4 ? 16 : 28)
      t.same(into.subarray(0, size), sockaddr({ family, address, port: 1 }, bind))
      t.same(into.subarray(size, 128), Buffer.alloc(128 - size))
      t.same(into.subarray(128), dirty(2), 'what follows is left alone')
    }
  },
)

t.test('what is no address of that family is EINVAL', async t => {
  const wrong = [
    [4, '::1'],
    [4, '127.1'],
    [4, ''],
    [4, '127.0.0.1%1'],
    [6, '127.0.0.1%1'],
    [6, 'fe80::1%eth0'],
    [6, 'fe80::1%4294967296'],
    [6, 'fe80::1%'],
    [6, 'localhost'],
    [6, ''],
  ] as const
  for (const [family, address] of wrong) {
    t.throws(
      () => sockaddr({ family, address, port: 1 }, bind),
      { code: 'EINVAL', winsock: 'WSAEINVAL', syscall: bind, message: JSON.stringify(address) },
      `${family} ${address}`,
    )
  }
})

t.test('a buffer that is too small is EMSGSIZE (R5)', async t => {
  for (const [family, address, size] of [
    [4, '127.0.0.1', 16],
    [6, '::1', 28],
  ] as const) {
    for (let length = 0; length < size; length++) {
      const into = dirty(length)
      t.throws(
        () => writeSockaddr(into, { family, address, port: 1 }, bind),
        { code: 'EMSGSIZE', winsock: 'WSAEMSGSIZE', syscall: bind },
        `${length} bytes`,
      )
      t.same(into, dirty(length), 'and nothing is written')
    }
    const whole = sockaddr({ family, address, port: 1 }, bind)
    for (let length = 0; length < size; length++)
      t.throws(() => readSockaddr(whole.subarray(0, length), bind), { code: 'EMSGSIZE' })
  }
})

t.test('a family of neither kind is nobody', async t => {
  t.equal(readSockaddr(Buffer.alloc(128), bind), undefined)
})

t.test('a second "%" is part of the scope, and no scope has one', async t => {
  for (const address of ['fe80::1%1%x', '::%1%', 'fe80::1%%1', '::1%'])
    t.throws(() => sockaddr({ family: 6, address, port: 1 }, bind), { code: 'EINVAL' }, address)
})
