/**
 * The workers of a cluster would share one datagram socket by themselves, which a secured one cannot
 * be: the error says what to do instead, and that works.
 */
import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { event } from '../support/events.js'
import { identified } from '../support/secured-datagrams.js'

t.test('what a worker may bind to', async t => {
  const security = await identified()
  const shared = { ...security, sharePort: true }
  const attempts = [
    { options: { security }, bind: {} },
    { options: { security: shared }, bind: {} },
    { options: { security }, bind: { exclusive: true } },
    ...(process.platform === 'linux'
      ? [{ options: { security: shared, reusePort: true }, bind: {} }]
      : []),
  ]
  cluster.setupPrimary({ exec: fileURLToPath(new URL('cluster-worker.ts', import.meta.url)) })
  const worker = cluster.fork({ CLUSTER_ATTEMPTS: JSON.stringify(attempts) })
  t.teardown(() => worker.process.kill())
  const [[alone, sharing, ...others]] = (await event(worker, 'message', 60_000)) as [object[]]

  const advice = /reusePort: true .*security\.sharePort.* exclusive: true/
  t.match(alone, { code: 'EINVAL', message: /^cluster sharing lets other processes/ })
  t.match(sharing, { code: 'EOPNOTSUPP', message: /^the processes of a cluster cannot share/ })
  for (const refused of [alone, sharing]) t.match(refused, { message: advice })
  for (const outcome of others) t.equal(outcome, 'listening')
})
