/** One host is one key, however its address is written; two hosts are two. */

import t from 'tap'
import { peerText } from '../../../src/model/peer-text.js'
import { canonicalAddress } from '../../../src/providers/datagrams/peer-key.js'
import { seededRandom } from '../../model/random.js'

t.test('spellings', async t => {
  const same = [
    ['192.0.2.1', '::ffff:192.0.2.1', '::FFFF:c000:201', '0:0:0:0:0:ffff:c000:0201'],
    ['::1', '0:0:0:0:0:0:0:1', '::0.0.0.1'],
    ['2001:db8::a', '2001:DB8:0:0:0:0:0:A', '2001:db8::0.0.0.10'],
    ['fe80::1%eth0', 'FE80:0::1%eth0'],
  ]
  for (const spellings of same) {
    const [first, ...others] = spellings.map(each => canonicalAddress(each))
    for (const other of others) {
      t.equal(other?.text, first?.text)
      t.same(other?.bytes, first?.bytes)
    }
  }
  const texts = same.map(([first = '']) => canonicalAddress(first)?.text)
  t.same(texts, ['192.0.2.1', '::1', '2001:db8::a', 'fe80::1%eth0'])
  const bytes = new Set(same.map(([first = '']) => canonicalAddress(first)?.bytes.toString('hex')))
  t.equal(bytes.size, same.length)
})

t.test('the scope is kept: the same address on another link is another host', async t => {
  const [eth0, eth1, none] = ['fe80::1%eth0', 'fe80::1%eth1', 'fe80::1'].map(canonicalAddress)
  t.equal(new Set([eth0?.text, eth1?.text, none?.text]).size, 3)
  t.equal(new Set([eth0, eth1, none].map(each => each?.bytes.toString('hex'))).size, 3)
})

t.test('what is sent to is spelt as the system does', async t => {
  t.equal(canonicalAddress('::FFFF:c000:201')?.spelling, '::ffff:192.0.2.1')
  t.equal(canonicalAddress('192.0.2.1')?.spelling, '192.0.2.1')
  t.equal(canonicalAddress('2001:DB8:0:0::1')?.spelling, '2001:db8::1')
})

t.test('bytes are those of the address', async t => {
  const random = seededRandom(t)
  for (let i = 0; i < 2000; i++) {
    const groups = Array.from({ length: 8 }, () =>
      random.below(2) === 0 ? 0 : random.below(65536),
    )
    const text = groups.map(group => group.toString(16)).join(':')
    const expected = groups.map(group => group.toString(16).padStart(4, '0')).join('')
    const given = canonicalAddress(text)?.bytes.toString('hex')
    if (given !== expected && !expected.startsWith('00000000000000000000ffff')) t.fail(text)
  }
})

t.test('what is no address has no key', async t => {
  for (const each of ['', 'localhost', '1.2.3', '1.2.3.4.5', ':::1', '1.2.3.4%eth0'])
    t.equal(canonicalAddress(each), undefined, each)
})

t.test('in messages', async t => {
  t.equal(peerText('192.0.2.1', 5), '192.0.2.1:5')
  t.equal(peerText('::1', 5), '[::1]:5')
})
