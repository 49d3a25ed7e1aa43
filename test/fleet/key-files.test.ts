/** Ticket keys in files, as an administrator replaces them, while the socket goes on. */
import { randomBytes } from 'node:crypto'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { boundSocket, datagramSocket, identified, LOOPBACK } from '../support/secured-datagrams.js'
import { until } from '../support/until.js'

t.test('a file that is replaced by others', async t => {
  const path = join(t.testdir(), 'tickets.key')
  writeFileSync(path, randomBytes(48), { mode: 0o600 })
  const server = { ...(await identified()), ticketKeys: pathToFileURL(path) }
  const { port } = await boundSocket(t, server)
  const client = datagramSocket(t, { security: await identified() })
  const peer = { address: LOOPBACK, port }
  const resumes = async () => {
    client.closePeer(peer)
    return (await client.secure(peer)).resumed
  }
  t.equal(await resumes(), false)
  t.equal(await resumes(), true)

  // As text this time.
  writeFileSync(`${path}.new`, `${randomBytes(48).toString('base64')}\n`, { mode: 0o600 })
  renameSync(`${path}.new`, path)
  await until('the new key is used, and the old one is not', async () => !(await resumes()))
  t.equal(await resumes(), true, 'its tickets are good')
})
