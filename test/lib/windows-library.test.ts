/** Windows' own libraries: where they are not, the error says so; where they are, by absolute path. */
import t from 'tap'
import { loadKoffi } from '../../lib/koffi.js'
import { checkPlatform, declareFunction, loadSystemLibrary } from '../../lib/windows-library.js'
import { requireSecureSocketExtensions, WSASocketW } from '../../lib/winsock.js'

const onWindows = process.platform === 'win32'
const unavailable = { name: 'SocketSecurityError', code: 'ERR_PROVIDER_UNAVAILABLE' }

t.test(
  'on another system nothing is looked for',
  { skip: onWindows && 'this is Windows' },
  async t => {
    for (const call of [
      () => loadSystemLibrary('ws2_32.dll'),
      () => WSASocketW(2, 1, 6, 1),
      () => requireSecureSocketExtensions(),
    ])
      t.throws(call, { ...unavailable, message: new RegExp(`${process.platform}.*Windows only`) })
  },
)

t.test('a Node of 32 bits has other structures', async t => {
  t.throws(() => checkPlatform('win32', 'ia32'), { ...unavailable, message: /64 bits.*ia32/ })
  t.throws(() => checkPlatform('darwin', 'arm64'), { ...unavailable, message: /darwin/ })
  checkPlatform('win32', 'x64')
  checkPlatform('win32', 'arm64')
})

t.test('a library without the function is named', async t => {
  const library = loadKoffi().load(onWindows ? 'kernel32.dll' : null)
  t.throws(() => declareFunction(library, 'Some.dll', 'int NoSuchFunction(int a)'), {
    ...unavailable,
    message: /^Some\.dll has no function NoSuchFunction/,
    cause: Error,
  })
})

t.test(
  'a library that is not there is named with its path',
  { skip: !onWindows && 'not Windows' },
  async t => {
    t.throws(() => loadSystemLibrary('no-such-library.dll'), {
      ...unavailable,
      message: /^[A-Z]:\\windows\\system32\\no-such-library\.dll/i,
      cause: Error,
    })
  },
)
