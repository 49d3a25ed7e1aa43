/**
 * Connections opened and closed by the thousand, in every way that they can end: what is held after the
 * last is what was held after the first few. `npm run test:hostile` has 5,000 of them.
 */
import t, { type Test } from 'tap'
import { testIdentity } from '../../support/identities.js'
import { inOneFile } from '../../support/one-file.js'
import { launch } from '../../support/program.js'
import { clientIdentity } from '../../support/secured.js'
import { isAll } from '../extent.js'

interface Held {
  readonly done: number
  readonly connections: number
  readonly sockets: number
  readonly resources: string[]
  readonly descriptors: number
  readonly heap: number
  readonly external: number
  readonly allocated: number
  readonly resident: number
}

const MEGABYTE = 1024 * 1024

t.test('nothing is left of them', async t => {
  const count = isAll ? 5000 : 400
  const { cert, key, ca } = await testIdentity()
  const work = {
    count,
    client: await clientIdentity(),
    server: { cert, key, ca, requestCert: true },
  }
  const path = await inOneFile(t, new URL('many-program.ts', import.meta.url))
  const [first, last] = await figures(t, path, work)
  t.equal(last.connections, 0)
  t.same(last.resources, first.resources, 'the same sockets and timers of the system')
  t.equal(last.descriptors, first.descriptors, 'as many descriptors')
  // V8 keeps some for a while that nobody has any more.
  t.ok(last.sockets <= 40, `${last.sockets} sockets of ${last.done * 2} are still there`)
  t.ok(last.heap - first.heap < 4 * MEGABYTE, 'the heap')
  t.ok(last.external - first.external < 2 * MEGABYTE, 'what it refers to')
  const kept = last.allocated - first.allocated
  const resident = last.resident - first.resident
  if (kept < MEGABYTE) t.ok(resident < 40 * MEGABYTE, 'what malloc() has given, and memory')
  else {
    // Node 24.21 itself keeps 5 KB of each connection whose client has shown a certificate.
    const [before, after] = await figures(t, path, { ...work, plain: true })
    const ofNode = after.allocated - before.allocated
    t.ok(kept < ofNode, `${kept} bytes, where node:tls without us keeps ${ofNode}`)
  }
})

async function figures(t: Test, path: string, work: object): Promise<[Held, Held]> {
  const program = launch(t, process.execPath, ['--expose-gc', path, JSON.stringify(work)])
  const [, line] = await program.said(/^(\[.*\])$/m, isAll ? 900_000 : 100_000)
  t.comment(line as string)
  return JSON.parse(line as string)
}
