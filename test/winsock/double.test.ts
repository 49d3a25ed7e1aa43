/** The double itself: what the other tests here build on. */

import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import t from 'tap'
import { loadKoffi } from '../../lib/koffi.js'
import * as winsock from '../../lib/winsock.js'
import { type Call, noDouble, winsockDouble } from '../support/winsock-double.js'

t.test('smoke', { skip: noDouble }, async t => {
  const double = winsockDouble()
  const s = winsock.WSASocketW(2, 1, 6, 0x81)
  t.equal(winsock.WSASetSocketSecurity(s, 0, 0, 0), 0)
  t.equal(winsock.WSASetSocketSecurity(s, 0, 0, 0), 10022)
  t.equal(winsock.closesocket(s), 0)
  t.equal(winsock.closesocket(s), 10038)
  const u = winsock.WSASocketW(2, 1, 6, 0x80)
  t.equal(u, s, 'recycled')
  t.equal(winsock.WSASetSocketSecurity(u, 0, 0, 0), 0)
  winsock.closesocket(u)
  t.comment(double.takeLog())
  t.equal(double.impersonating(), false)
})
