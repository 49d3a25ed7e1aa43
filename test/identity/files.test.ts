import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../../src/identity/authority.js'
import { createIdentity } from '../../src/identity/identity.js'

const posix = process.platform !== 'win32'
const mode = (file: string) => statSync(file).mode & 0o777

t.test('an authority and an identity are written as they are returned', async t => {
  const directory = join(t.testdir(), 'new', 'pki')
  const authority = await createAuthority({ directory })
  t.equal(readFileSync(join(directory, 'authority.crt'), 'utf8'), authority.cert)
  t.equal(readFileSync(join(directory, 'authority.key'), 'utf8'), authority.key)

  const identity = await createIdentity({ authority, names: ['host/db.example.com'], directory })
  t.equal(readFileSync(join(directory, 'db.example.com.crt'), 'utf8'), identity.cert)
  t.equal(readFileSync(join(directory, 'db.example.com.key'), 'utf8'), identity.key)
})

t.test(
  'keys can be read by their owner alone, also with a careless umask',
  { skip: !posix },
  async t => {
    const directory = join(t.testdir(), 'pki')
    const umask = process.umask(0)
    t.teardown(() => process.umask(umask))
    await createAuthority({ directory })
    t.equal(mode(join(directory, 'authority.key')), 0o600)
    t.equal(mode(join(directory, 'authority.crt')), 0o644)
    t.equal(mode(directory), 0o700)
  },
)

for (const [names, file] of [
  [['*.example.com'], '_wildcard.example.com'],
  [['2001:db8::1'], '2001_db8__1'],
  [['spiffe://example.com/db'], 'spiffe___example.com_db'],
  // To Windows aux.example.com.key is a device.
  [['aux.example.com'], '_aux.example.com'],
] as const) {
  t.test(`the files of ${names} are called ${file}`, async t => {
    const directory = t.testdir()
    await createIdentity({ names, directory })
    t.same(readdirSync(directory).sort(), [`${file}.crt`, `${file}.key`])
  })
}

t.test('the name of the files can be chosen', async t => {
  const directory = t.testdir()
  await createIdentity({ names: ['localhost'], directory, file: 'server' })
  t.same(readdirSync(directory).sort(), ['server.crt', 'server.key'])
})

t.test('a file is called what every system can call a file, and is no device', async t => {
  const directory = t.testdir()
  for (const file of [
    'a/b',
    'a\\b',
    '.a',
    '',
    'a:b',
    'a*',
    'a\nb',
    'NUL',
    'con.old',
    'Com1',
    'lpt9 .x',
  ])
    await t.rejects(
      createIdentity({ names: ['localhost'], directory, file }),
      { code: 'EINVAL', message: /^file.*NUL/ },
      JSON.stringify(file),
    )
  t.same(readdirSync(directory), [])
  await createIdentity({ names: ['localhost'], directory, file: 'console.1' })
  t.same(readdirSync(directory).sort(), ['console.1.crt', 'console.1.key'])
})

for (const existing of ['authority.crt', 'authority.key']) {
  t.test(`an existing ${existing} is kept, named, and nothing is written beside it`, async t => {
    const directory = t.testdir({ [existing]: 'precious' })
    await t.rejects(createAuthority({ directory }), {
      code: 'EINVAL',
      message: `directory: ${join(directory, existing)} exists and is not overwritten`,
      cause: { code: 'EEXIST' },
    })
    t.same(readdirSync(directory), [existing])
    t.equal(readFileSync(join(directory, existing), 'utf8'), 'precious')
  })
}

t.test('of two that write at once exactly one wins, and its pair belongs together', async t => {
  const directory = t.testdir()
  const results = await Promise.allSettled([
    createAuthority({ directory }),
    createAuthority({ directory }),
  ])
  const won = results.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
  t.equal(won.length, 1)
  t.equal(readFileSync(join(directory, 'authority.crt'), 'utf8'), won[0]?.cert)
  t.equal(readFileSync(join(directory, 'authority.key'), 'utf8'), won[0]?.key)
})

t.test('a directory that cannot be made is named', async t => {
  const file = join(t.testdir({ file: '' }), 'file')
  await t.rejects(createAuthority({ directory: file }), {
    code: 'EINVAL',
    message: `directory: ${file} exists and is no directory`,
  })
  await t.rejects(createAuthority({ directory: join(file, 'below') }), {
    code: 'EINVAL',
    message: /^directory: .*below cannot be written \(ENOTDIR\)$/,
  })
})
