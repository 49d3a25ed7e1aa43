import t from 'tap'
import { createAuthority } from '../../src/identity/authority.js'
import { createIdentity } from '../../src/identity/identity.js'

// The X.509 library leaves a property in the global object that is called like the process's number.
const loaded = () => Object.hasOwn(globalThis, process.pid)

t.test('the X.509 library is loaded when a certificate is made, and not before', async t => {
  t.type(createAuthority, 'function')
  await t.rejects(createIdentity({ names: [] }), { code: 'EINVAL' })
  t.notOk(loaded(), 'importing and checking options does not load it')
  await createIdentity({ names: ['localhost'] })
  t.ok(loaded(), 'making a certificate does')
})
