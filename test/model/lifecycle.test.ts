import t from 'tap'
import type { SocketSecurityErrorCode } from '../../src/model/errors.js'
import {
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
