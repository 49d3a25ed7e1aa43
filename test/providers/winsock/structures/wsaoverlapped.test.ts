/** What the system writes to while a call is pending. */
import t from 'tap'
import {
  hasSucceeded,
  readWsaOverlapped,
  STATUS_PENDING,
  writeWsaOverlapped,
} from '../../../../src/providers/winsock/structures/wsaoverlapped.js'
import { bytes, dirty, zeros } from './bytes.js'

t.test('WSAOVERLAPPED of a call to be made', async t => {
  const into = dirty(34)
  t.equal(writeWsaOverlapped(into, 0x1234, false), 32)
  t.same(into.subarray(0, 32), bytes(zeros(24), ['3412000000000000', 'hEvent']))
  t.same(into.subarray(32), dirty(2))
})

t.test('the lowest bit of the event keeps completion ports from hearing of it', async t => {
  const into = dirty(32)
  writeWsaOverlapped(into, 0x1234, true)
  t.same(into, bytes(zeros(24), '3512000000000000'))
})

t.test('how it has ended', async t => {
  const ended = (status: string) => readWsaOverlapped(bytes(status, zeros(4), '40', zeros(23)))
  t.same(ended('00000000'), { status: 0, bytes: 0x40 })
  t.ok(hasSucceeded(ended('00000000').status))
  t.equal(ended('03010000').status, STATUS_PENDING)
  t.notOk(hasSucceeded(ended('200100c0').status), 'STATUS_CANCELLED')
  t.notOk(hasSucceeded(ended('05000080').status), 'STATUS_BUFFER_OVERFLOW')
})

t.test('a buffer that is too small is EMSGSIZE (R5)', async t => {
  for (let length = 0; length < 32; length++) {
    t.throws(() => writeWsaOverlapped(dirty(length), 4, true), { code: 'EMSGSIZE' })
    t.throws(() => readWsaOverlapped(dirty(length)), { code: 'EMSGSIZE' })
  }
})
