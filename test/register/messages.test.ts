/** A secured socket cannot be sent to another process: what arrived there would be the bare connection. */
import t from 'tap'
import { built } from '../examples/built.js'
import { policyFile, registered } from './registered.js'

t.before(built)

t.test('whatever is secured is refused at once, and nothing of it arrives', async t => {
  const program = registered(t, ['messages.cjs'], { policy: await policyFile(t) })
  await program.ended(30_000)
  for (const what of [
    ...['a server', 'a socket that connects', 'a socket', 'an accepted socket'],
    ...['a datagram socket', 'a server of the child'],
  ])
    t.match(program.output, `${what}: EOPNOTSUPP\n`)
  t.match(program.output, 'nothing else: sent\n')
  t.same(program.output.match(/^the child has got .*$/gm), ['the child has got nothing else'])
})
