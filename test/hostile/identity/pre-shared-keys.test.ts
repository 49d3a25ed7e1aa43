/**
 * The wrong peer has a pre-shared key, or says so: that of another identity, or none. It is refused as a
 * server and as a client, over streams and datagrams, and whoever reads along sees nothing.
 */
import t from 'tap'
import { sClient, sServer } from '../../interop/openssl.js'
import { requireProgram } from '../../support/foreign-program.js'
import { protocols } from './foreign-ends.js'
import { guarded, refusedAsServer } from './our-ends.js'
import { isWithoutData, OUR_SECRET, reader, readsNothing, THEIR_SECRET } from './reader.js'
import { PEER_NAME } from './wrong-peers.js'

const skip = !requireProgram(t, 'openssl')
const [ours, anothers] = [Buffer.alloc(32, 7), Buffer.alloc(32, 8)]
/** Streams have pre-shared keys since TLS 1.3. */
const kinds = protocols.filter(({ flag }) => flag !== '-tls1_2')
const keyOf = (identity: string, key: Buffer) => [
  ...['-psk_identity', identity, '-psk', key.toString('hex')],
]

/** Over DTLS 1.2 a wrong key is a Finished that cannot be read: that is dropped, and looks like silence. */
const handshakeTimeout = 1500
const silence = 'ERR_TLS_HANDSHAKE_TIMEOUT'
const unknown = 'ERR_PEER_NOT_AUTHENTICATED'

for (const { name, transport, flag } of kinds) {
  t.test(`a server with the key of another identity: ${name}`, { skip }, async t => {
    const { port, program } = await sServer(t, flag, '-nocert', ...keyOf(PEER_NAME, anothers))
    program.type(`${THEIR_SECRET}\n`)
    const between = await reader(t, transport, port)
    const security = { psk: { identity: PEER_NAME, key: ours }, handshakeTimeout }
    const error = await refusedAsServer(t, transport, between.port, undefined, security)
    t.match(error, {
      code: transport === 'udp' ? silence : 'ERR_SSL_SSLV3_ALERT_ILLEGAL_PARAMETER',
      message: /pre-shared|psk/i,
      peer: `127.0.0.1:${between.port}`,
    })
    t.notMatch(program.output, OUR_SECRET)
    readsNothing(t, between)
    isWithoutData(t, between.toServer(), transport)
  })

  for (const [what, identity, key, codes] of [
    [
      'the key of another identity',
      PEER_NAME,
      anothers,
      ['ERR_SSL_BINDER_DOES_NOT_VERIFY', silence],
    ],
    ['an identity that nobody knows', 'nobody.example', ours, [unknown, unknown]],
  ] as const)
    t.test(`a client with ${what}: ${name}`, { skip }, async t => {
      const psk = { [PEER_NAME]: ours, 'another.example': anothers }
      const us = await guarded(t, transport, undefined, { psk, handshakeTimeout })
      const between = await reader(t, transport, us.port)
      const client = sClient(t, between.port, flag, ...keyOf(identity, key))
      client.type(`${THEIR_SECRET}\n`)
      t.match(await us.refusal(), { code: codes[transport === 'udp' ? 1 : 0], peer: /^127/ })
      // Who hears nothing of its handshake goes on asking.
      if (transport === 'tcp') await client.ended()
      t.notMatch(client.output, OUR_SECRET)
      readsNothing(t, between)
      isWithoutData(t, between.toClient(), transport)
    })
}

t.test(
  'a client with the right key of another identity than its name: datagrams',
  { skip },
  async t => {
    const psk = { [PEER_NAME]: ours, 'another.example': anothers }
    const us = await guarded(t, 'udp', PEER_NAME, { psk })
    const between = await reader(t, 'udp', us.port)
    const client = sClient(t, between.port, '-dtls1_2', ...keyOf('another.example', anothers))
    client.type(`${THEIR_SECRET}\n`)
    t.match(await us.refusal(), { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
    await client.ended()
    t.notMatch(client.output, OUR_SECRET)
    readsNothing(t, between)
    isWithoutData(t, between.toClient(), 'udp')
  },
)
