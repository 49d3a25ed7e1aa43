/** A GUID's first three groups are numbers with their little end first; the rest is bytes. */
import t from 'tap'
import { readGuid, writeGuid } from '../../../../src/providers/winsock/structures/guid.js'
import { bytes, dirty } from './bytes.js'

const text = '0a1b2c3d-4e5f-6789-abcd-ef0123456789'
const memory = bytes('3d2c1b0a', '5f4e', '8967', 'abcdef0123456789')

t.test('written and read', async t => {
  const into = dirty(24)
  writeGuid(into, 4, text)
  t.same(into, Buffer.concat([dirty(4), memory, dirty(4)]))
  t.equal(readGuid(into, 4), text)
  writeGuid(into, 4, text.toUpperCase())
  t.same(into.subarray(4, 20), memory, 'in either case')
})

t.test('small numbers keep their zeros', async t => {
  const small = '00000001-0002-0003-0004-000000000005'
  const into = dirty(16)
  writeGuid(into, 0, small)
  t.same(into, bytes('01000000', '0200', '0300', '0004', '000000000005'))
  t.equal(readGuid(into, 0), small)
})

t.test('what is no GUID is never written', async t => {
  const into = dirty(16)
  for (const wrong of ['', `{${text}}`, text.slice(1), `${text}0`, text.replace('a', 'g')])
    t.throws(() => writeGuid(into, 0, wrong), TypeError, wrong)
  t.same(into, dirty(16))
})
