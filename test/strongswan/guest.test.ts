import { execFileSync } from 'node:child_process'
import t from 'tap'

t.test('the hosts answer', async t => {
  t.match(execFileSync('on', ['b', 'swanctl', '--version'], { encoding: 'utf8' }), /5\.9/)
  t.equal(process.env.HOST, 'a')
})
