/** The variables that go along: once, by an absolute path, and beside what is there. */
import { isAbsolute } from 'node:path'
import t from 'tap'
import { built } from '../examples/built.js'

t.before(built)

t.test('NODE_OPTIONS keeps what it has, and gets ours once', async t => {
  const { inheritedEnvironment, registeredEnvironment, registeredOptions, registerFile } =
    await import('../../src/register/environment.js')
  t.ok(isAbsolute(registerFile()))
  const own = registeredOptions()
  t.match(own, /^--require \S/)
  t.equal(registeredOptions(own), own)
  t.equal(registeredOptions('--no-warnings'), `--no-warnings ${own}`)
  t.equal(registeredOptions(`--no-warnings ${own}`), `--no-warnings ${own}`)
  for (const option of ['--import secure-socket/register', '--require=secure-socket/register'])
    t.equal(registeredOptions(`--no-warnings ${option}`), `--no-warnings ${own}`, option)
  t.match(registeredOptions('-r secure-socket/register-not'), /^-r secure-socket\/register-not /)

  const hidden = `--title="${own}"`
  t.equal(registeredOptions(hidden), `${hidden} ${own}`, 'in the value of another option')
  // Outside of quotes a backslash escapes nothing: each child of a child would register once more.
  const odd = registeredOptions('--title=\\""')
  t.equal(registeredOptions(odd), odd)

  const env = { PATH: '/bin', NODE_OPTIONS: '--no-warnings', SECURE_SOCKET_POLICY: '/other' }
  const given = registeredEnvironment(env)
  t.same(given, { ...env, NODE_OPTIONS: `--no-warnings ${own}` }, 'a policy that was named stays')
  t.equal(env.NODE_OPTIONS, '--no-warnings', 'a copy')
  t.same(Object.keys(registeredEnvironment({ Node_Options: '-v' }, 'win32')), ['Node_Options'])
  const inherited = inheritedEnvironment(env)
  t.equal(inherited.SECURE_SOCKET_POLICY, process.env.SECURE_SOCKET_POLICY, 'that of this process')
})
