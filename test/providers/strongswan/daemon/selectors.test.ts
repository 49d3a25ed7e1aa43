// Traffic selectors as strongSwan prints them, some of which a peer has chosen.
import t from 'tap'
import { flowOf, selector } from '../../../../src/providers/strongswan/daemon/selectors.js'

t.test('what is written is read again', async t => {
  const local = selector('10.9.0.1', 'udp', 6000)
  const remote = selector('10.9.0.2', 'udp', 0)
  t.strictSame([local, remote], ['10.9.0.1/32[udp/6000]', '10.9.0.2/32[udp]'])
  t.strictSame(flowOf([local], [remote]), {
    transport: 'udp',
    localAddress: '10.9.0.1',
    localPort: 6000,
    remoteAddress: '10.9.0.2',
    remotePort: 0,
  })
})

t.test('names of services, numbers of protocols, long IPv6', async t => {
  t.match(flowOf(['10.9.0.1/32[tcp/http]'], ['10.9.0.2/32[6/40000]']), {
    transport: 'tcp',
    localPort: 80,
    remotePort: 40_000,
  })
  t.match(flowOf(['fd09:0:0:0::1/128[udp/1]'], ['FD09::2/128[17/2]']), {
    localAddress: 'fd09::1',
    remoteAddress: 'fd09::2',
  })
})

t.test('what is not one flow is none', async t => {
  const good = '10.9.0.2/32[udp/5000]'
  for (const bad of [
    '10.9.0.0/24[udp/6000]',
    '10.9.0.1/32',
    '10.9.0.1/32[icmp]',
    '10.9.0.1/32[tcp/6000]',
    '10.9.0.1/128[udp/6000]',
    'fd09::1/32[udp/6000]',
    '10.9.0.1/32[udp/no-such-service]',
    '10.9.0.1/32[udp/5000-6000]',
    '10.9.0.1..10.9.0.9[udp/6000]',
    'dynamic[udp/6000]',
    '',
  ]) {
    t.equal(flowOf([bad], [good]), undefined, bad)
    t.equal(flowOf([good], [bad]), undefined, bad)
  }
  t.equal(flowOf([good, good], [good]), undefined)
  t.equal(flowOf([], [good]), undefined)
})
