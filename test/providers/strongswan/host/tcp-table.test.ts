/**
 * What has become of a TCP connection whose descriptor is closed: read from the kernel's own list, of
 * which a line that is misread would take the policies away too early.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { endianness } from 'node:os'
import t from 'tap'
import { parseTcpTable, readTcpTable } from '../../../../src/providers/strongswan/host/tcp-table.js'

const skip = endianness() !== 'LE' && 'the vectors are of a little-endian machine'
const head = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n'
const rest = '00000000:00000000 00:00000000 00000000     0        0 1679 1 00000000827f21d7 100 0\n'

const ipv4 = (local: string, remote: string, state: string) =>
  `${head}   0: 00000000:1770 00000000:0000 0A ${rest}   1: ${local} ${remote} ${state} ${rest}`

const tuple = {
  localAddress: '10.9.0.1',
  localPort: 6000,
  remoteAddress: '10.9.0.2',
  remotePort: 5000,
}

t.test('the state of a connection over IPv4', { skip }, async t => {
  const cases = [
    ['01', 'busy'],
    ['04', 'busy'],
    ['05', 'half closed'],
    ['06', 'time wait'],
    ['08', 'busy'],
    ['09', 'busy'],
    ['0B', 'busy'],
  ] as const
  for (const [state, remainder] of cases) {
    const table = parseTcpTable([ipv4('0100090A:1770', '0200090A:1388', state), head])
    t.equal(table.connection(tuple), remainder, state)
    t.equal(table.port(6000), remainder, `${state}, and what listens does not count`)
    t.equal(table.connection({ ...tuple, remotePort: 5001 }), 'gone')
    t.equal(table.connection({ ...tuple, remoteAddress: '10.9.0.3' }), 'gone')
    t.equal(table.port(6001), 'gone')
  }
})

t.test('over IPv6, and IPv4 on a socket of IPv6', { skip }, async t => {
  const six = `${head}   7: 000009FD000000000000000001000000:1770 000009FD000000000000000002000000:1388 06 ${rest}`
  const table = parseTcpTable([head, six])
  const addresses = { localAddress: 'fd09::1', remoteAddress: 'fd09::2' }
  t.equal(table.connection({ ...tuple, ...addresses }), 'time wait')
  const mapped = `${head}   7: 0000000000000000FFFF00000100090A:1770 0000000000000000FFFF00000200090A:1388 04 ${rest}`
  t.equal(parseTcpTable([head, mapped]).connection(tuple), 'busy')
})

t.test('what cannot be read is an empty table, never an error', async t => {
  for (const text of ['', 'nonsense\n', head, '   0: 00:1 2:3 4\n'.repeat(3)])
    t.equal(parseTcpTable([text]).connection(tuple), 'gone', JSON.stringify(text.slice(0, 9)))
})

t.test('a port says what takes longest', { skip }, async t => {
  const lines = ['06', '05', '04'].map(
    (state, index) => `   ${index}: 0100090A:1770 0${index}00090A:1388 ${state} ${rest}`,
  )
  const text = (count: number) => head + lines.slice(0, count).join('')
  t.equal(parseTcpTable([text(1)]).port(6000), 'time wait')
  t.equal(parseTcpTable([text(2)]).port(6000), 'half closed')
  t.equal(parseTcpTable([text(3)]).port(6000), 'busy')
})

t.test("the kernel's own, of a connection that lives and ends", async t => {
  if (process.platform !== 'linux') return
  for (const host of ['127.0.0.1', '::1']) {
    const server = createServer(socket => socket.resume().on('end', () => socket.end()))
    t.teardown(() => server.close())
    await once(server.listen(0, host), 'listening')
    const socket = connect((server.address() as AddressInfo).port, host)
    await once(socket, 'connect')
    const { localPort = 0, remotePort = 0 } = socket as Socket
    const own = { localAddress: host, localPort, remoteAddress: host, remotePort }
    t.equal((await readTcpTable()).connection(own), 'busy', host)
    socket.resume().end()
    await once(socket, 'close')
    t.equal((await readTcpTable()).connection(own), 'time wait', host)
  }
})
