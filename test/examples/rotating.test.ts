/** The server whose certificate is replaced, as its help says to start it. */
import t from 'tap'
import { run } from '../support/program.js'
import { root } from '../support/project-root.js'
import { built } from './built.js'

t.before(built)

t.test('its demo shows the new certificate to new clients only', async t => {
  const output = await run(process.execPath, ['examples/rotating.mjs', '--demo'], { cwd: root })
  const [, client, peer] =
    /connected: +certificate (\w+)\nA peer is secured: +certificate (\w+)\n/.exec(output) ?? []
  const [, newClient] = /new client is shown: +certificate (\w+)\n/.exec(output) ?? []
  const [, newPeer] = /new peer is shown: +certificate (\w+)\n/.exec(output) ?? []
  t.ok(client)
  t.equal(peer, client)
  t.ok(newClient)
  t.not(newClient, client)
  t.equal(newPeer, newClient)
  t.match(output, `From now on: certificate ${newClient}`)
  t.match(output, /The first client says: +still here\nAnd the first peer: +still here\n/)
  t.notMatch(output, /Warning/)
})

t.test('its help', async t => {
  const output = await run(process.execPath, ['examples/rotating.mjs', '--help'], { cwd: root })
  t.match(output, /node examples\/rotating\.mjs DIRECTORY/)
})
