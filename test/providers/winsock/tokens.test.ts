/** SIDs as Windows writes them: the vectors are those of well-known SIDs. */
import t from 'tap'
import { sidText } from '../../../src/providers/winsock/tokens.js'

t.test('a SID is its authority and its parts', async t => {
  for (const [hex, text] of [
    ['010100000000000000000000', 'S-1-0-0'],
    ['010100000000000100000000', 'S-1-1-0'],
    ['010100000000000507000000', 'S-1-5-7'],
    ['010100000000000512000000', 'S-1-5-18'],
    ['01020000000000052000000020020000', 'S-1-5-32-544'],
    ['010500000000000515000000ffffffff0200000003000000f4010000', 'S-1-5-21-4294967295-2-3-500'],
    ['010100ffffffffff01000000', 'S-1-0x00ffffffffff-1'],
    ['0100000000000005', 'S-1-5'],
  ] as const)
    t.equal(sidText(Buffer.from(hex, 'hex')), text)
})

t.test('what is no SID has no text', async t => {
  for (const hex of [
    '',
    '01',
    '020100000000000507000000',
    '0101000000000005',
    '01010000000000050700000000',
    '010200000000000507000000',
  ])
    t.equal(sidText(Buffer.from(hex, 'hex')), null)
})
