/**
 * The right peer is there, and somebody between wants the two to do with less: no security at all, or an
 * older version of it. Without `allowInsecure` a clear word ends the handshake, wherever it comes; with
 * it that is what test/rules (R14, R15) and test/providers/tls/allow-insecure.test.ts are about.
 */
import t from 'tap'
import { sClient, sServer } from '../../interop/openssl.js'
import { messageType, record } from '../../providers/dtls/hellos.js'
import { requireProgram } from '../../support/foreign-program.js'
import { testIdentity } from '../../support/identities.js'
import { until } from '../../support/until.js'
import { byRecords, tcpProxy } from '../streams/tcp-proxy.js'
import { extensionAt } from './client-hello.js'
import { protocols, shower } from './foreign-ends.js'
import { guarded, refusedAsServer } from './our-ends.js'
import { OUR_SECRET, reader, readsNothing, THEIR_SECRET } from './reader.js'
import { udpMiddle } from './udp-middle.js'
import { PEER_NAME } from './wrong-peers.js'

const skip = !requireProgram(t, 'openssl')
const shows = shower(t)
const right = shows(await testIdentity([PEER_NAME]))
const { cert, key, ca } = await testIdentity()
const security = { cert, key, ca }
const inClear = Buffer.from('220 no TLS here, speak freely\r\n')
/** The same as data of epoch 0. */
const clearData = record(23, 0, inClear)
/** OpenSSL 3.5 looks at the type of a record first. */
const notTls = /^ERR_SSL_(WRONG_VERSION_NUMBER|BAD_RECORD_TYPE)$/

for (const { name, flag } of protocols.filter(({ transport }) => transport === 'tcp'))
  for (const index of [0, 1]) {
    const when = index === 0 ? 'instead of its first record' : 'after its first record'
    t.test(`a clear word to our client ${when}: ${name}`, { skip }, async t => {
      const { port, program } = await sServer(t, flag, ...right)
      const middle = await tcpProxy(
        t,
        port,
        byRecords((record, direction, count) =>
          direction === 'toClient' && count === index ? inClear : record,
        ),
      )
      const between = await reader(t, 'tcp', middle.port)
      const error = await refusedAsServer(t, 'tcp', between.port, PEER_NAME, security)
      t.match(error, { code: notTls, message: /does not speak TLS|is no TLS/ })
      t.notMatch(program.output, OUR_SECRET)
      readsNothing(t, between)
    })

    t.test(`a clear word to our server ${when}: ${name}`, { skip }, async t => {
      const us = await guarded(t, 'tcp', undefined, security)
      const middle = await tcpProxy(
        t,
        us.port,
        byRecords((record, direction, count) =>
          direction === 'toServer' && count === index ? inClear : record,
        ),
      )
      const between = await reader(t, 'tcp', middle.port)
      const client = sClient(t, between.port, flag, ...right)
      client.type(`${THEIR_SECRET}\n`)
      t.match(await us.refusal(), { code: notTls })
      await client.ended()
      t.notMatch(client.output, OUR_SECRET)
      readsNothing(t, between)
    })
  }

/** What a client says of the versions that it speaks; without it 1.2 is the highest (RFC 8446, section 4.2.1). */
const SUPPORTED_VERSIONS = 43
const UNKNOWN_EXTENSION = Buffer.from([0xfa, 0xfa])

/** The first record to the server, with that extension under a name that means nothing. */
const rollBack = byRecords((record, direction, count) => {
  if (direction !== 'toServer' || count > 0) return record
  const at = extensionAt(record, SUPPORTED_VERSIONS)
  if (at < 0) throw new Error('a ClientHello without supported_versions')
  return Buffer.concat([record.subarray(0, at), UNKNOWN_EXTENSION, record.subarray(at + 2)])
})

t.test('our client, which speaks TLS 1.3, is led to 1.2', { skip }, async t => {
  const { port, program } = await sServer(t, ...right)
  const middle = await tcpProxy(t, port, rollBack)
  const between = await reader(t, 'tcp', middle.port)
  const error = await refusedAsServer(t, 'tcp', between.port, PEER_NAME, security)
  // The server's random says that it could do better (RFC 8446, section 4.1.3).
  t.match(error, { code: 'ERR_SSL_INAPPROPRIATE_FALLBACK' })
  t.notMatch(program.output, OUR_SECRET)
  readsNothing(t, between)
})

t.test('our server, which speaks TLS 1.3, is led to 1.2', { skip }, async t => {
  const us = await guarded(t, 'tcp', undefined, security)
  const middle = await tcpProxy(t, us.port, rollBack)
  const between = await reader(t, 'tcp', middle.port)
  const client = sClient(t, between.port, ...right)
  client.type(`${THEIR_SECRET}\n`)
  // The client has seen it in our random.
  t.match(await us.refusal(), { code: 'ERR_SSL_SSLV3_ALERT_ILLEGAL_PARAMETER' })
  await client.ended()
  t.match(client.output, /inappropriate fallback/)
  readsNothing(t, between)
})

t.test('our datagrams are to be sent in clear', { skip }, async t => {
  const { port, program } = await sServer(t, '-dtls1_2', ...right)
  const middle = await udpMiddle(t, port, (datagram, direction) =>
    direction === 'toClient' ? [inClear, clearData] : [datagram],
  )
  const between = await reader(t, 'udp', middle.port)
  const more = { ...security, handshakeTimeout: 1500 }
  const error = await refusedAsServer(t, 'udp', between.port, PEER_NAME, more)
  t.match(error, { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' })
  t.notMatch(program.output, OUR_SECRET)
  readsNothing(t, between)
})

t.test('our datagrams are led to DTLS 1.0', { skip }, async t => {
  const { port, program } = await sServer(t, '-dtls1_2', ...right)
  const middle = await udpMiddle(t, port, (datagram, direction) => {
    const serverHello = direction === 'toClient' && datagram[0] === 22 && datagram[13] === 2
    if (serverHello) datagram.writeUInt16BE(0xfeff, 25)
    return [datagram]
  })
  const between = await reader(t, 'udp', middle.port)
  const error = await refusedAsServer(t, 'udp', between.port, PEER_NAME, security)
  t.match(error, { code: 'ERR_SSL_UNSUPPORTED_PROTOCOL' })
  t.notMatch(program.output, OUR_SECRET)
  readsNothing(t, between)
})

t.test('our datagrams offer no more than DTLS 1.0, says somebody', { skip }, async t => {
  const { port, program } = await sServer(t, '-dtls1_2', ...right)
  const middle = await udpMiddle(t, port, offerOldOnly)
  const between = await reader(t, 'udp', middle.port)
  const error = await refusedAsServer(t, 'udp', between.port, PEER_NAME, security)
  t.match(error, { code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' })
  t.notMatch(program.output, OUR_SECRET)
  readsNothing(t, between)
})

t.test('our server of datagrams is led to DTLS 1.0', { skip }, async t => {
  const us = await guarded(t, 'udp', undefined, security)
  const middle = await udpMiddle(t, us.port, offerOldOnly)
  const between = await reader(t, 'udp', middle.port)
  const client = sClient(t, between.port, '-dtls1_2', ...right)
  client.type(`${THEIR_SECRET}\n`)
  t.match(await us.refusal(), { code: 'ERR_SSL_UNSUPPORTED_PROTOCOL' })
  await client.ended()
  t.match(client.output, /alert protocol version/)
  t.notMatch(client.output, OUR_SECRET)
  readsNothing(t, between)
})

for (const hello of [true, false]) {
  const when = hello ? 'after its hello' : 'from the beginning'
  t.test(`our server of datagrams is spoken to in clear, ${when}`, { skip }, async t => {
    const handshakeTimeout = 1500
    const us = await guarded(t, 'udp', undefined, { ...security, handshakeTimeout })
    let clear = 0
    const middle = await udpMiddle(t, us.port, (datagram, direction) => {
      if (direction === 'toClient' || (hello && isHello(datagram))) return [datagram]
      clear += 1
      return [inClear, clearData]
    })
    const between = await reader(t, 'udp', middle.port)
    const client = sClient(t, between.port, '-dtls1_2', ...right)
    client.type(`${THEIR_SECRET}\n`)
    if (hello) t.match(await us.refusal(), { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' })
    // It says its hello again after a second.
    else await until('it has come twice', () => clear > 1)
    t.ok(clear > 0)
    if (!hello) t.equal(between.toClient().length, 0, 'a stranger who says no hello gets no answer')
    await client.stop()
    t.notMatch(client.output, OUR_SECRET)
    readsNothing(t, between)
  })
}

/** The clear ClientHellos say that DTLS 1.0 is the highest that their sender has. */
function offerOldOnly(datagram: Buffer, direction: 'toServer' | 'toClient'): Buffer[] {
  if (direction === 'toServer' && isHello(datagram)) datagram.writeUInt16BE(0xfeff, 25)
  return [datagram]
}

function isHello(datagram: Buffer): boolean {
  return messageType(datagram) === 1
}
