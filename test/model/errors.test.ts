import { inspect } from 'node:util'
import t from 'tap'
import { invalid, SocketSecurityError, show } from '../../src/model/errors.js'

t.test('an error says its code, what to do, and what it knows of the case', async t => {
  const cause = new Error('underneath')
  const error = new SocketSecurityError('EISCONN', 'set it before connect()', {
    syscall: 'WSASetSocketSecurity',
    peer: '10.0.0.5:5000',
    cause,
  })
  t.type(error, Error)
  t.equal(error.name, 'SocketSecurityError')
  t.equal(error.code, 'EISCONN')
  t.equal(error.message, 'set it before connect()')
  t.equal(error.winsock, 'WSAEISCONN')
  t.equal(error.syscall, 'WSASetSocketSecurity')
  t.equal(error.peer, '10.0.0.5:5000')
  t.equal(error.cause, cause)
  t.match(error.stack, /^SocketSecurityError: set it before connect\(\)\n/)
})

// An absent property and an undefined one look different when the error is printed.
t.test('what there is nothing to say about is not there', async t => {
  const error = new SocketSecurityError('ENOCREDENTIAL', 'give cert and key')
  for (const key of ['winsock', 'syscall', 'peer', 'cause']) t.notOk(key in error, key)
  t.same(Object.keys(error), ['code'])
  t.match(
    inspect(error),
    /SocketSecurityError \[ENOCREDENTIAL\]: give cert and key[\s\S]*code: 'ENOCREDENTIAL'/,
  )
})

t.test('Winsock’s name stands on the codes that Winsock has, and on no other', async t => {
  for (const code of [
    'EAFNOSUPPORT',
    'EFAULT',
    'EINVAL',
    'EISCONN',
    'EMSGSIZE',
    'ENOTCONN',
    'ENOTSOCK',
    'EOPNOTSUPP',
  ] as const)
    t.equal(new SocketSecurityError(code, '').winsock, `WSA${code}`)
  for (const code of ['EPROTO', 'ENOCREDENTIAL', 'CERT_HAS_EXPIRED', 'ERR_SSL_ANY'] as const)
    t.equal(new SocketSecurityError(code, '').winsock, undefined)
})

// Two copies of the package in one program are two classes; users write instanceof all the same.
t.test('instanceof holds across copies of the package', async t => {
  class Copy extends Error {}
  Object.defineProperty(Copy.prototype, Symbol.for('secure-socket.SocketSecurityError'), {
    value: true,
  })
  t.ok(new Copy() instanceof SocketSecurityError)
  for (const value of [new Error('EINVAL'), { code: 'EINVAL' }, null, undefined, 'EINVAL', 5])
    t.notOk((value as object) instanceof SocketSecurityError, inspect(value))
})

t.test('a refused value is named, with what to do', async t => {
  const error = invalid('security.alpn', 'h2', 'give an array', 'WSASetSocketSecurity')
  t.match(error, {
    code: 'EINVAL',
    syscall: 'WSASetSocketSecurity',
    message: 'security.alpn is "h2": give an array',
  })
})

t.test(
  'a shown value is short, on one line, and shows nothing that was not written out',
  async t => {
    class Box {
      secret = 'hunter2'
    }
    for (const [value, text] of [
      ['a "b"\n', '"a \\"b\\"\\n"'],
      [5, '5'],
      [Number.NaN, 'NaN'],
      [5n, '5'],
      [true, 'true'],
      [null, 'null'],
      [undefined, 'undefined'],
      [Buffer.from('hunter2'), 'a Buffer of 7 bytes'],
      [new Uint16Array([1, 2]), 'a Uint16Array of 4 bytes'],
      [new DataView(new ArrayBuffer(3)), 'a DataView of 3 bytes'],
      [['hunter2'], 'an array of 1'],
      [() => 'hunter2', 'a function'],
      [Symbol('hunter2'), 'a symbol'],
      [new Box(), 'an object (secret)'],
      [Object.assign(Object.create(null), { key: 'hunter2' }), 'an object (key)'],
    ] as const)
      t.equal(show(value), text)
    t.ok(show('x'.repeat(10_000)).length < 100)
    t.ok(show(Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`k${i}`, i]))).length < 100)
  },
)

t.test('a text cannot break or turn a line of the log', async t => {
  for (const character of ['\n', '\0', '\x7f', '\u0085', '\u2028', '\u202e', '\ud800'])
    t.notOk(
      show(`a${character}b`).includes(character),
      `U+${character.codePointAt(0)?.toString(16)}`,
    )
})
