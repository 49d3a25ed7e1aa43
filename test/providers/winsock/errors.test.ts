/** Each number that Winsock's functions are documented to give has a code and says what to do. */
import t from 'tap'
import { winsockError } from '../../../src/providers/winsock/errors.js'

t.test('the documented numbers', async t => {
  const documented = [
    [10014, 'EFAULT', 'WSAEFAULT'],
    [10022, 'EINVAL', 'WSAEINVAL'],
    [10038, 'ENOTSOCK', 'WSAENOTSOCK'],
    [10040, 'EMSGSIZE', 'WSAEMSGSIZE'],
    [10047, 'EAFNOSUPPORT', 'WSAEAFNOSUPPORT'],
    [10048, 'EADDRINUSE', 'WSAEADDRINUSE'],
    [10054, 'ECONNRESET', 'WSAECONNRESET'],
    [10056, 'EISCONN', 'WSAEISCONN'],
    [10107, 'ERR_WINSOCK', 'WSASYSCALLFAILURE'],
    [11032, 'ERR_WINSOCK', 'WSA_SECURE_HOST_NOT_FOUND'],
    [11033, 'ERR_WINSOCK', 'WSA_IPSEC_NAME_POLICY_ERROR'],
    [995, 'ECANCELED', 'WSA_OPERATION_ABORTED'],
  ] as const
  for (const [errno, code, winsock] of documented) {
    const error = winsockError(errno, { syscall: 'WSASetSocketSecurity', peer: '192.0.2.1:80' })
    t.match(error, {
      code,
      winsock,
      errno,
      syscall: 'WSASetSocketSecurity',
      peer: '192.0.2.1:80',
    })
    t.match(
      error.message,
      new RegExp(`^WSASetSocketSecurity failed with ${winsock} \\(${errno}\\): .+`),
    )
  }
})

t.test('a number that nobody knows is shown, and is still an error', async t => {
  const error = winsockError(13868, { syscall: 'WSAQuerySocketSecurity' })
  t.match(error, { code: 'ERR_WINSOCK', errno: 13868, syscall: 'WSAQuerySocketSecurity' })
  t.notOk('winsock' in error)
  t.notOk('peer' in error)
  t.match(error.message, /^WSAQuerySocketSecurity failed with 13868/)
})
