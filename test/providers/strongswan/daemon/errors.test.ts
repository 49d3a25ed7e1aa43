/** What a system says where strongSwan cannot be reached, and who has to do what about it. */
import t from 'tap'
import {
  CommandError,
  connectFailed,
  daemonLost,
} from '../../../../src/providers/strongswan/daemon/errors.js'

const path = '/run/charon.vici'
const systemSays = (code: string) => Object.assign(new Error(`connect ${code}`), { code })

t.test('connecting', async t => {
  const cases: [says: string, code: string, message: RegExp][] = [
    ['ENOENT', 'ERR_PROVIDER_UNAVAILABLE', /systemctl start strongswan.*ipsec\.viciSocket/],
    ['ECONNREFUSED', 'ERR_PROVIDER_UNAVAILABLE', /does not listen at/],
    ['ENOTSOCK', 'ERR_PROVIDER_UNAVAILABLE', /does not listen at/],
    ['EACCES', 'EACCES', /the group that owns the socket/],
    ['EPERM', 'EACCES', /the group that owns the socket/],
    ['ERR_ACCESS_DENIED', 'EACCES', /--allow-net beside --permission/],
  ]
  for (const [says, code, message] of cases) {
    const cause = systemSays(says)
    const error = connectFailed(cause, path)
    t.match(error, { name: 'SocketSecurityError', code, message, syscall: 'connect', cause }, says)
    t.match(error.message, path)
  }
})

t.test('what was reached, and ends or refuses', async t => {
  t.match(daemonLost(path, systemSays('EPIPE')), {
    code: 'ECONNRESET',
    message: /stopped or restarted/,
    cause: { code: 'EPIPE' },
  })
  const refused = new CommandError('load-conn', `no\u0007${'x'.repeat(1000)}`)
  t.match(refused, { name: 'SocketSecurityError', code: 'EPROTO', command: 'load-conn' })
  t.ok(refused.message.length < 400, 'bounded')
  t.notMatch(refused.message, '\u0007')
})
