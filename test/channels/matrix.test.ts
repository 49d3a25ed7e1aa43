/**
 * The tests of datagram sockets run twice, once for each channel. That is worth something only if
 * each run has the channel that it is named after, and if no file is forgotten.
 */
import t from 'tap'
import { batchUnavailable } from '../../src/channels/batch/availability.js'
import { event } from '../support/events.js'
import { datagramSocket, identified, LOOPBACK } from '../support/secured-datagrams.js'

const run = process.env.SECURE_SOCKET_CHANNEL

t.test('a socket of this run has the channel that the run is about', async t => {
  const missing = batchUnavailable()
  const expected = run ?? (process.platform === 'linux' ? 'batch' : 'portable')
  if (expected === 'batch' && missing !== undefined && process.env.CI !== 'true') {
    t.pass('batch', { skip: missing })
    return
  }
  const socket = datagramSocket(t, { security: await identified() })
  socket.bind(0, LOOPBACK)
  await event(socket, 'listening')
  t.equal(socket.channel, expected, missing ?? expected)
})

t.test('the files that run twice are those that use datagram sockets', async t => {
  // Plain JavaScript without types, since the script runs without a build.
  const { datagramTests } = await import(
    new URL('../../scripts/datagram-tests.mjs', import.meta.url).href
  )
  const files: string[] = await datagramTests()
  for (const file of [
    'test/channels/flood.test.ts',
    'test/examples/sudp-pair.test.ts',
    'test/interop/dtls-gnutls.test.ts',
    'test/promises.test.ts',
    'test/rules/rules.test.ts',
    'test/sockets/secure-dgram-socket.test.ts',
  ])
    t.ok(files.includes(file), file)
  // This one uses them in threads that it starts, and nowhere else.
  t.ok(
    files.includes('test/channels/worker-threads.test.ts'),
    'also where a program of the test uses them',
  )
  for (const file of [
    'test/net.test.ts',
    'test/interop/gnutls.test.ts',
    'test/model/settings.test.ts',
  ])
    t.notOk(files.includes(file), file)
})
