import t from 'tap'
import type { SocketSecurityErrorCode } from '../../src/model/errors.js'
import {
  checkPeerAddress,
  checkPeerQuery,
  checkQuery,
  checkSetPeerTargetName,
  checkSetSecurity,
  type SocketState,
  unsupportedFamily,
} from '../../src/model/lifecycle.js'

const flags = ['closed', 'foreign', 'connected', 'bound', 'secured'] as const

/** All 32 states. */
const states = Array.from({ length: 2 ** flags.length }, (_, bits) =>
  Object.fromEntries(flags.map((flag, index) => [flag, Boolean(bits & (1 << index))])),
) as unknown as SocketState[]

/** What forbids a call, most important first: R6, R2, R4 or R18 or R22, R7, R8. */
type Order = readonly (readonly [(state: SocketState) => boolean, SocketSecurityErrorCode])[]

t.test('security settings, in every state', async t => {
  const order: Order = [
    [state => state.closed, 'ENOTSOCK'],
    [state => state.foreign, 'EAFNOSUPPORT'],
    [state => state.connected, 'EISCONN'],
    [state => state.bound, 'EINVAL'],
    [state => state.secured, 'EINVAL'],
  ]
  for (const state of states)
    t.equal(
      codeOf(() => checkSetSecurity(state), 'WSASetSocketSecurity'),
      expected(order, state),
      describe(state),
    )
})

t.test('a target name, in every state: a bound or secured socket may still be named', async t => {
  const order: Order = [
    [state => state.closed, 'ENOTSOCK'],
    [state => state.foreign, 'EAFNOSUPPORT'],
    [state => state.connected, 'EISCONN'],
  ]
  for (const state of states)
    t.equal(
      codeOf(() => checkSetPeerTargetName(state), 'WSASetSocketPeerTargetName'),
      expected(order, state),
      describe(state),
    )
})

t.test('a query, in every state, before and after the connection is secured', async t => {
  for (const established of [false, true]) {
    const order: Order = [
      [state => state.closed, 'ENOTSOCK'],
      [state => state.foreign, 'EAFNOSUPPORT'],
      [() => !established, 'ENOTCONN'],
    ]
    for (const state of states)
      t.equal(
        codeOf(
          () => checkQuery(state, established, 'WSAImpersonateSocketPeer'),
          'WSAImpersonateSocketPeer',
        ),
        expected(order, state),
        `${describe(state)}, established: ${established}`,
      )
  }
})

t.test('a query of a datagram peer: R6 and R2 before R22', async t => {
  const socket = { closed: false, foreign: false }
  const syscall = 'WSAQuerySocketSecurity'
  const query = (state: typeof socket, secured: boolean) =>
    checkPeerQuery(state, '10.0.0.5:5000', secured, syscall)
  t.doesNotThrow(() => query(socket, true))
  t.throws(() => query(socket, false), { code: 'ENOTCONN', syscall, peer: '10.0.0.5:5000' })
  t.throws(() => query({ ...socket, closed: true }, false), { code: 'ENOTSOCK' })
  t.throws(() => query({ ...socket, foreign: true }, false), { code: 'EAFNOSUPPORT' })
})

t.test('the address of a datagram peer is that of one host (R17)', async t => {
  const check = (address: string, port: number) => () =>
    checkPeerAddress(address, port, 'WSASetSocketPeerTargetName')
  const refused = { code: 'EINVAL', syscall: 'WSASetSocketPeerTargetName' }
  for (const zero of [
    '0.0.0.0',
    '::',
    '0:0:0:0:0:0:0:0',
    '::0.0.0.0',
    '::ffff:0.0.0.0',
    '::%1',
    '',
    'x',
  ])
    for (const port of [0, 5000]) t.throws(check(zero, port), refused, `${zero} port ${port}`)
  for (const nowhere of ['fe80::1', 'FE80::1', 'febf::1'])
    t.throws(check(nowhere, 5000), { ...refused, message: /on which link/ }, nowhere)
  // A number names a link on Windows only.
  const byNumber = check('fe80::1%2', 5000)
  if (process.platform === 'win32') t.doesNotThrow(byNumber)
  else t.throws(byNumber, { ...refused, message: /on which link/ })
  for (const port of [-1, 65536, 1.5, Number.NaN, '5000' as never])
    t.throws(check('10.0.0.5', port), refused, `port ${port}`)
  for (const address of ['10.0.0.5', '::1', 'fe80::1%eth0', '::ffff:10.0.0.5'])
    for (const port of [0, 1, 65535]) t.doesNotThrow(check(address, port), `${address} ${port}`)
})

// Both are EINVAL, so only the message tells a developer which of the two mistakes it was.
t.test('the two EINVALs read differently', async t => {
  const state = { closed: false, foreign: false, connected: false, bound: false, secured: false }
  t.throws(() => checkSetSecurity({ ...state, bound: true }), { message: /bound or listening/ })
  t.throws(() => checkSetSecurity({ ...state, secured: true }), { message: /set once/ })
})

t.test('an unsupported family is named, with what to use instead', async t => {
  t.match(unsupportedFamily('the pipe "/tmp/x"', 'WSASetSocketSecurity'), {
    code: 'EAFNOSUPPORT',
    syscall: 'WSASetSocketSecurity',
    message: /^the pipe "\/tmp\/x" .*node:net/,
  })
})

function codeOf(call: () => void, syscall: string): string {
  try {
    call()
    return 'permitted'
  } catch (error) {
    const { code, syscall: told } = error as { code: string; syscall?: string }
    return told === syscall ? code : `${code} of ${told}`
  }
}

function expected(order: Order, state: SocketState): string {
  return order.find(([forbids]) => forbids(state))?.[1] ?? 'permitted'
}

function describe(state: SocketState): string {
  return flags.filter(flag => state[flag]).join(', ') || 'a new socket'
}
