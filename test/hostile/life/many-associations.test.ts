/**
 * Associations opened and closed by the thousand, in every way that they can begin and end: what is held
 * after the last is what was held after the first few, and when the sockets are closed there is no object of
 * OpenSSL left, by its own count and by ours. `npm run test:hostile` has 10,000 of them.
 */
import t from 'tap'
import { strangerIdentity } from '../../support/identities.js'
import { inOneFile } from '../../support/one-file.js'
import { launch } from '../../support/program.js'
import { identified } from '../../support/secured-datagrams.js'
import { isAll } from '../extent.js'
import type { Held } from './held.js'

const MEGABYTE = 1024 * 1024

t.test('nothing is left of them', { timeout: 1_800_000 }, async t => {
  const work = {
    count: isAll ? 10_000 : 200,
    directory: t.testdir(),
    server: await identified(),
    client: await identified(['client.example']),
    stranger: await strangerIdentity(),
    renewed: await identified(['127.0.0.1', 'renewed.example']),
  }
  const path = await inOneFile(t, new URL('many-associations-program.ts', import.meta.url))
  const args = ['--expose-gc', '--no-warnings', path, JSON.stringify(work)]
  const program = launch(t, process.execPath, args)
  const [, line] = await program.said(/^(\[.*\])$/m, isAll ? 1_800_000 : 110_000)
  const [first, last, closed, sums] = JSON.parse(line as string) as [Held, Held, Held, Sums]
  t.comment(line)
  t.ok(sums.handshakes > work.count / 2, 'they were secured')
  t.ok(sums.resumed > 0 && sums.failed > 0, 'and resumed, and failed')
  t.ok(closed.openssl.made.SSL > work.count, 'and were counted')

  t.same(last.resources, first.resources, 'the same sockets and timers of the system')
  t.equal(last.descriptors, first.descriptors, 'as many descriptors')
  t.equal(last.openssl.callbacks, first.openssl.callbacks, 'as many callbacks')
  t.equal(last.openssl.alive.SSL, 0, 'no SSL')
  t.equal(last.openssl.alive.SSL_SESSION, 0, 'no session')
  // V8 keeps some for a while that nobody has any more.
  t.ok(last.heap - first.heap < 4 * MEGABYTE, 'the heap')
  // 2,000 sessions are kept, of a kilobyte and more.
  t.ok(last.external - first.external < 4 * MEGABYTE, 'what it refers to')
  t.ok(last.allocated - first.allocated < 8 * MEGABYTE, 'what malloc() has given')
  t.ok(last.resident - first.resident < 40 * MEGABYTE, 'and memory besides')

  t.same(closed.openssl.alive, { SSL: 0, SSL_SESSION: 0 })
  // The two BIOs that all associations share, and the address that nobody reads.
  // The store of whom node:tls trusts, and the context of the credentials in files: for who comes next.
  const kept = { BIO: 2, BIO_ADDR: 1, X509_STORE: 1, SSL_CTX: 1 }
  t.same(closed.openssl.held, kept, 'no reference to anything else')
  t.same(closed.openssl.faults, [], 'nothing was freed twice')
})

interface Sums {
  readonly handshakes: number
  readonly resumed: number
  readonly failed: number
}
