/** Which provider secures what, on which system; none is loaded by the question. */
import t, { type Test } from 'tap'
import { parseSettings } from '../../src/model/settings.js'
import { datagramProvider, streamProvider } from '../../src/providers/select.js'

const tls = parseSettings({})
const ipsec = parseSettings({ protocol: 'ipsec' })

/** This process as another system sees it. */
function on(t: Test, platform: string, arch: string): void {
  t.intercept(process, 'platform', { value: platform })
  t.intercept(process, 'arch', { value: arch })
}

t.test('on Windows of 64 bits', async t => {
  for (const arch of ['x64', 'arm64']) {
    on(t, 'win32', arch)
    t.equal(streamProvider(ipsec).mode, 'native')
    t.equal(datagramProvider(ipsec).mode, 'native')
    t.equal(streamProvider(tls).mode, 'channel')
    t.equal(datagramProvider(tls).mode, 'channel')
  }
})

t.test('on Windows of 32 bits there is no IPsec, and the error says what to do', async t => {
  on(t, 'win32', 'ia32')
  const error = { code: 'ERR_PROVIDER_UNAVAILABLE', message: /x64 or arm64, this is ia32/ }
  t.throws(() => streamProvider(ipsec), error)
  t.throws(() => datagramProvider(ipsec), error)
  t.equal(streamProvider(tls).mode, 'channel')
})

t.test('on Linux, whatever it runs on', async t => {
  for (const arch of ['x64', 'arm64', 'riscv64']) {
    on(t, 'linux', arch)
    t.equal(streamProvider(ipsec).mode, 'native')
    t.equal(datagramProvider(ipsec).mode, 'native')
    t.equal(streamProvider(tls).mode, 'channel')
    t.equal(datagramProvider(tls).mode, 'channel')
  }
})

t.test('elsewhere there is none', async t => {
  on(t, 'darwin', 'arm64')
  const error = { code: 'ERR_PROVIDER_UNAVAILABLE', message: /no IPsec provider for darwin/ }
  t.throws(() => streamProvider(ipsec), error)
  t.throws(() => datagramProvider(ipsec), error)
  t.equal(streamProvider(tls).mode, 'channel')
})
