/** What console.log shows of infos, peers and errors: the security at a glance, and no trap for who compares them. */
import assert from 'node:assert'
import { inspect } from 'node:util'
import t from 'tap'
import {
  peerName,
  securityText,
  shownAsPeer,
  shownAsSecurity,
} from '../../src/model/at-a-glance.js'
import { SocketSecurityError } from '../../src/model/errors.js'
import type { SecurityInfo } from '../../src/model/security-info.js'

const info: SecurityInfo = {
  secured: true,
  encrypted: true,
  protocol: 'tls',
  version: 'TLSv1.3',
  cipher: 'TLS_AES_256_GCM_SHA384',
  resumed: false,
  peer: { names: ['a.example', 'b.example'] },
}

t.test('a peer is called what it had to prove, else what it has proved', async t => {
  t.equal(peerName({ targetName: 'host/a', names: ['a', 'b'] }), 'host/a')
  t.equal(peerName({ names: [], pskIdentity: 'sensor-17' }), 'sensor-17')
  t.equal(peerName({ names: ['a', 'b', 'c', 'd', 'e'] }), 'a, b, c, …')
  t.equal(peerName({ names: [], user: { sid: 'S-1', name: 'CORP\\ann' } }), 'CORP\\ann')
  t.equal(peerName({ names: [], machine: { sid: 'S-1' } }), 'S-1')
  t.equal(peerName({ names: [], pin: 'sha256/x' }), 'sha256/x')
  t.equal(peerName({ names: [] }), 'unknown')
  t.equal(peerName(undefined), 'unknown')
})

t.test('nothing in a name reaches a terminal or a log as anything but text', async t => {
  const pskIdentity = 'a\u001b[2J\nb\u202ec'
  t.equal(peerName({ names: [], pskIdentity }), 'a\\u{1b}[2J\\u{a}b\\u{202e}c')
})

t.test('what secures, in one line', async t => {
  t.equal(
    securityText(info),
    'full handshake, TLSv1.3 TLS_AES_256_GCM_SHA384, peer a.example, b.example',
  )
  t.match(securityText({ ...info, resumed: true }), /^resumed, /)
  t.match(securityText({ ...info, encrypted: false }), /, authenticated but not encrypted, peer/)
  t.equal(
    securityText({ secured: false, encrypted: false, protocol: 'none', resumed: false }),
    'in clear',
  )
  t.equal(
    securityText({ secured: true, encrypted: true, protocol: 'ipsec', resumed: false }),
    'by the system, ipsec, peer unknown',
  )
})

t.test('an info is shown in one line, at any depth, and stays a plain object', async t => {
  const expires = new Date(0)
  const shown = shownAsSecurity({ ...info, alpn: 'h2', expires })
  const line =
    'SecurityInfo <full handshake, TLSv1.3 TLS_AES_256_GCM_SHA384, peer a.example, b.example, alpn h2, until 1970-01-01T00:00:00.000Z>'
  t.equal(inspect(shown), line)
  t.equal(inspect({ a: { b: { c: { d: shown } } } }, { depth: 9 }).includes(line), true)
  assert.deepStrictEqual(shown, { ...info, alpn: 'h2', expires })
  t.same(Object.keys(shown), Object.keys({ ...info, alpn: 'h2', expires }))
  t.equal(JSON.stringify(shown), JSON.stringify({ ...info, alpn: 'h2', expires }))
  t.match(inspect({ ...shown }), /^\{\n {2}secured: true,/, 'a copy is shown as what it is')
  t.match(inspect(shownAsSecurity({ ...info, expires: new Date(Number.NaN) })), /until an unknown/)
})

t.test('a peer is shown by its name and its pin, without its certificate', async t => {
  const certificate = { private: 'none', raw: 'bytes' } as never
  const peer = shownAsPeer({ targetName: 'host/a', names: ['a'], pin: 'sha256/x', certificate })
  t.equal(inspect({ peer }), '{ peer: PeerIdentity <host/a, sha256/x> }')
  const pinned = shownAsPeer({ targetName: 'sha256/x', names: [], pin: 'sha256/x' })
  t.equal(inspect(pinned), 'PeerIdentity <sha256/x>')
})

t.test('an error is shown as every error, with its code in the first line', async t => {
  class Ours extends SocketSecurityError {}
  const cause = new SocketSecurityError('EINVAL', 'underneath')
  const error = new SocketSecurityError('ENOTCONN', 'not yet', { peer: '127.0.0.1:1', cause })
  const lines = inspect(error).split('\n')
  t.equal(lines[0], 'SocketSecurityError [ENOTCONN]: not yet')
  t.match(inspect(error), /at-a-glance\.test/, 'with its stack')
  t.match(inspect(error), /winsock: 'WSAENOTCONN'/)
  t.match(inspect(error), /peer: '127\.0\.0\.1:1'/)
  t.match(inspect(error), /\[cause\]: SocketSecurityError: underneath/)
  t.match(inspect(new Ours('EFAULT', 'x')), /EFAULT/)
  t.match(inspect(SocketSecurityError.prototype), /SocketSecurityError/, 'looking does not fail')
})
