import { readFileSync } from 'node:fs'
import t from 'tap'
import { typed } from '../support/command-line.js'

t.test('--version prints the version of the package', async t => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
  t.same(await typed('--version'), { code: 0, stdout: `${version}\n`, stderr: '' })
})

for (const command of [
  '',
  'identity',
  'identity authority',
  'identity create',
  'identity show',
  'identity pin',
  'run',
  'connect',
  'listen',
  'policy',
  'policy check',
  'doctor',
]) {
  t.test(`${command} --help explains it on stdout`, async t => {
    const words = command.split(' ').filter(Boolean)
    const { code, stdout, stderr } = await typed(...words, '--help')
    t.equal(code, 0)
    t.equal(stderr, '')
    t.match(stdout, `secure-socket${command && ` ${command}`}: `)
    t.match(stdout, /^Usage:\n {2}secure-socket /m)
    t.match(stdout, /^Exit codes:/m)
    t.notMatch(stdout, /.{101}/, 'no line is longer than 100 characters')
    t.same(await typed(...words, '-h'), { code, stdout, stderr })
  })
}

for (const command of ['', 'identity', 'policy']) {
  t.test(
    `${command || 'the program'} alone prints its help on stderr and is a usage error`,
    async t => {
      const words = command.split(' ').filter(Boolean)
      const { stdout: help } = await typed(...words, '--help')
      t.same(await typed(...words), { code: 2, stdout: '', stderr: help })
    },
  )
}

for (const [line, message, help] of [
  [
    'idenity',
    'there is no "idenity" here; choose among: run, connect, listen',
    'secure-socket --help',
  ],
  ['toString', 'there is no "toString" here', 'secure-socket --help'],
  ['identity mkae', 'choose among: authority, create, show, pin', 'secure-socket identity --help'],
  ['identity pin', 'FILE is missing', 'secure-socket identity pin --help'],
  ['identity pin a b', '"b" is one argument too many', 'secure-socket identity pin --help'],
  ['policy check a b', '"b" is one argument too many', 'secure-socket policy check --help'],
  ['doctor now', '"now" is one argument too many', 'secure-socket doctor --help'],
  ['run', 'PROGRAM is missing', 'secure-socket run --help'],
  ['run node --version', "Unknown option '--version'", 'secure-socket run --help'],
  ['identity show --all a', "Unknown option '--all'", 'secure-socket identity show --help'],
] as const) {
  t.test(`"${line}" is a usage error: says why, and where the help is`, async t => {
    const { code, stdout, stderr } = await typed(...line.split(' '))
    t.equal(code, 2)
    t.equal(stdout, '')
    t.match(stderr, message)
    t.match(stderr, `\nHelp: ${help}\n`)
    t.notMatch(stderr, /^ +at /m, 'no stack trace')
  })
}

t.test('a stack trace comes only when it is asked for', async t => {
  t.notMatch((await typed('identity', 'pin', 'nowhere')).stderr, /^ +at /m)
  process.env.SECURE_SOCKET_DEBUG = '1'
  t.teardown(() => delete process.env.SECURE_SOCKET_DEBUG)
  t.match((await typed('identity', 'pin', 'nowhere')).stderr, /^ +at /m)
})
