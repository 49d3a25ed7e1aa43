/** Native code is loaded by the first secured datagram and by nothing before it; where it cannot be, the error says what to do. */
import { createRequire } from 'node:module'
import t from 'tap'
import { loadKoffi, requireKoffi } from '../../lib/koffi.js'

/** Native libraries of this process that have koffi in their name. */
function nativeParts(): string[] {
  const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: string[] }
  return sharedObjects.filter(path => path.includes('koffi'))
}

t.test('importing every face loads nothing; the first use does', async t => {
  await Promise.all(
    ['net', 'dgram', 'promises', 'index'].map(face => import(`../../src/${face}.js`)),
  )
  await import('../../lib/linux-sockets.js')
  await import('../../src/providers/dtls/dtls-provider.js')
  t.same(nativeParts(), [])
  t.equal(loadKoffi(), loadKoffi())
  t.equal(loadKoffi(), createRequire(import.meta.url)('koffi'))
  t.equal(nativeParts().length, 1)
})

t.test('what is missing is said', t => {
  const cases: [string | undefined, string, RegExp][] = [
    ['MODULE_NOT_FOUND', "Cannot find module 'koffi'", /npm install koffi.*--omit=optional/],
    ['ERR_DLOPEN_DISABLED', 'Cannot load native addon', /permission model.*--allow-addons/],
    ['ERR_ACCESS_DENIED', 'Access to this API has been restricted', /--allow-addons/],
    [undefined, 'Cannot find the native Koffi module', /native Koffi module.*npm rebuild koffi/],
  ]
  for (const [code, reason, message] of cases) {
    const cause = Object.assign(new Error(reason), { code })
    const missing = () =>
      requireKoffi(() => {
        throw cause
      })
    t.throws(missing, { code: 'ERR_PROVIDER_UNAVAILABLE', message, cause })
  }
  t.end()
})
