import t from 'tap'
import { typed } from '../support/command-line.js'
import { cliProgram, start } from './cli-program.js'

t.test('where the tests run, both default providers work, and people can read it', async t => {
  const { code, stdout, stderr } = await typed('doctor')
  t.equal(stderr, '')
  t.match(stdout, /^ {2}ok +streams \(tls\) +TLSv1\.3 and TLSv1\.2, by OpenSSL 3/m)
  t.match(stdout, /^ {2}ok +datagrams \(dtls\) +DTLSv1\.2, by OpenSSL \d.*, through koffi \d/m)
  t.notMatch(stdout, 'To do')
  t.equal(code, 0)
})

t.test('machines get every finding, with what was looked at', async t => {
  const { code, stdout } = await typed('doctor', '--json')
  t.equal(code, 0)
  const { version, ok, findings } = JSON.parse(stdout)
  t.match(version, /^\d+\.\d+\.\d+/)
  t.equal(ok, true)
  const named = Object.fromEntries(findings.map((each: { name: string }) => [each.name, each]))
  t.match(named, {
    node: { status: 'works', details: { version: process.versions.node } },
    tls: { status: 'works', details: { versions: ['TLSv1.3', 'TLSv1.2'] } },
    dtls: { status: 'works', details: { versions: ['DTLSv1.2'], missing: [], koffi: /^\d/ } },
    batch: { status: process.platform === 'linux' ? 'works' : 'elsewhere' },
    winsock: { status: process.platform === 'win32' ? 'works' : 'elsewhere' },
    // A daemon of this machine may work, or not.
    strongswan: { status: process.platform === 'linux' ? /works|missing/ : 'elsewhere' },
  })
})

t.test(
  'where native code is forbidden, datagrams fail, and it says which flag is missing',
  async t => {
    const flag = ['--permission', '--experimental-permission'].find(each =>
      process.allowedNodeEnvironmentFlags.has(each),
    )
    const program = await cliProgram(t)
    const doctor = start(t, [flag ?? '', '--allow-fs-read=*', program, 'doctor', '--json'])
    t.equal((await doctor.ended()).code, 1, doctor.stderr)
    t.match(doctor.stdout.toString(), /^\{/, doctor.stderr)
    const { ok, findings } = JSON.parse(doctor.stdout.toString())
    t.equal(ok, false)
    t.match(findings, [
      { name: 'node', details: { permissionModel: true } },
      { name: 'tls', status: 'works' },
      { name: 'dtls', status: 'fails', summary: /--allow-addons/ },
    ])
  },
)
