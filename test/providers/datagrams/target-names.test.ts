/** R19: many names on one socket, one for each peer; an exact port before the whole address. */
import t from 'tap'
import { parseTargetName } from '../../../src/model/target-name.js'
import { TargetNames } from '../../../src/providers/datagrams/target-names.js'

t.test('an exact port wins over the whole address, whichever was set first', async t => {
  const [a, b, c] = ['a.example', 'b.example', 'c.example'].map(parseTargetName)
  for (const order of [
    [0, 5000],
    [5000, 0],
  ]) {
    const names = new TargetNames()
    for (const port of order) names.set('192.0.2.1', port, (port === 0 ? a : b) as never)
    t.equal(names.get('192.0.2.1', 5000), b)
    t.equal(names.get('192.0.2.1', 5001), a)
    t.equal(names.get('192.0.2.2', 5000), undefined)
    names.set('192.0.2.1', 5000, c as never)
    t.equal(names.get('192.0.2.1', 5000), c, 'set again')
    t.equal(names.delete('192.0.2.1', 5000), c)
    t.equal(names.get('192.0.2.1', 5000), a, 'the whole address is left')
    t.equal(names.delete('192.0.2.1', 5000), undefined)
    t.equal(names.delete('192.0.2.1', 0), a)
    t.equal(names.get('192.0.2.1', 5001), undefined)
    t.equal(names.delete('192.0.2.9', 0), undefined)
  }
})
