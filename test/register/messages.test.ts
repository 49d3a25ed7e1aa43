/** A secured socket cannot be sent to another process: what arrived there would be the bare connection. */
import t from 'tap'
import { built } from '../examples/built.js'
import { policyFile, registered } from './registered.js'

t.before(built)

t.test('whatever is secured is refused at once: nothing of it arrives, nothing breaks', async t => {
  const program = registered(t, ['messages.cjs'], { policy: await policyFile(t) })
  t.same(await program.ended(30_000), { code: 0, signal: null }, program.output)
  for (const what of [
    ...['a server', 'a socket that connects', 'a socket', 'an accepted socket'],
    ...['a datagram socket', 'a server of the child'],
    ...['the handle of a server', 'the handle of a datagram socket'],
  ])
    t.match(program.output, new RegExp(`^${what}: EOPNOTSUPP$`, 'm'))
  t.match(program.output, 'the handle of a socket: ERR_INVALID_HANDLE_TYPE', 'in Node’s own words')
  t.match(program.output, 'the client has got still here')
  t.match(program.output, 'nothing else: sent\n')
  t.same(program.output.match(/^the child has got .*$/gm), ['the child has got nothing else'])
})
