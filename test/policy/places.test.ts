/** Where a policy is looked for, by real processes; /etc is that of a mount namespace of theirs. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { requireProgram } from '../support/foreign-program.js'
import { inOneFile } from '../support/one-file.js'

const program = await inOneFile(t, new URL('places-program.ts', import.meta.url))
const tree = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'secure-socket-places-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const own = join(folder, 'policy.json')
writeFileSync(
  own,
  '{"streams": {"handshakeTimeout": 5000}, "datagrams": {"handshakeTimeout": 100}}',
  { mode: 0o644 },
)
const onWindows = process.platform === 'win32' && 'it has no /etc'

interface Report {
  readonly outcomes: string[]
  readonly sent: string | undefined
  readonly calls: string[]
  readonly file: string | null
  readonly problems: { path: string; message: string }[]
  readonly warnings: string[]
}

t.test('the variable names a file by its absolute path', async t => {
  const { outcomes, file, warnings } = run([], own)
  t.strictSame(
    { outcomes, file, warnings },
    { outcomes: ['ERR_POLICY_FORBIDS', 'ERR_POLICY_FORBIDS'], file: own, warnings: [] },
  )
  for (const [value, why] of [
    [join(folder, 'none.json'), /does not exist/],
    ['policy.json', /give an absolute path/],
    [folder, /cannot be read/],
  ] as const) {
    const report = run([], value)
    t.match(report, {
      outcomes: ['ERR_POLICY_INVALID', 'ERR_POLICY_INVALID'],
      sent: 'ERR_POLICY_INVALID',
    })
    t.match(report.problems[0]?.message, why)
  }
  t.match(run([], ''), { outcomes: ['no policy', 'no policy'] }, 'empty is unset, as for a shell')
})

t.test('under the permission model it must be readable', async t => {
  const flag = ['--permission', '--experimental-permission'].find(each =>
    process.allowedNodeEnvironmentFlags.has(each),
  )
  const network = process.allowedNodeEnvironmentFlags.has('--allow-net') ? ['--allow-net'] : []
  const flags = [flag as string, ...network, `--allow-fs-read=${program}`]
  // Where the tests run as JavaScript the program is not in one file.
  for (const folder of ['src', 'test', 'lib', 'package.json'])
    flags.push(`--allow-fs-read=${join(tree, folder)}`)
  const report = run(flags, own)
  t.match(report.outcomes, ['ERR_POLICY_INVALID', 'ERR_POLICY_INVALID'])
  t.match(report.problems[0]?.message, /--allow-fs-read=.* beside --permission/)
})

t.test('without a policy: two questions, once for the process', { skip: onWindows }, async t => {
  const { outcomes, calls } = run([], undefined)
  t.strictSame(outcomes, ['no policy', 'no policy'])
  t.strictSame(calls, ['lstatSync /etc/secure-socket/policy.json', 'lstatSync /etc/secure-socket'])
})

t.test("the administrator's place", { skip: onWindows }, async t => {
  const unshare = requireProgram(t, 'unshare')
  if (unshare === undefined) return
  const mine = ['--user', '--map-root-user', '--mount']
  const inside = (script: string, variable: string | undefined): Report =>
    run([], variable, [
      unshare,
      [
        ...mine,
        'sh',
        '-ec',
        `umask 022; mount -t tmpfs -o mode=755 tmpfs /etc; ${script}; unset NODE_OPTIONS; exec "$@"`,
        'sh',
      ],
    ])
  const attempt = spawnSync(unshare, [...mine, 'mount', '-t', 'tmpfs', 'tmpfs', '/etc'])
  // Whoever is not root sees the root of the file system as somebody else's there.
  if (attempt.status !== 0 || process.geteuid?.() !== 0) {
    t.pass('in a mount namespace', {
      skip: `it takes root, and a system that lets it: ${attempt.stderr}`,
    })
    return
  }
  const make = 'mkdir -m 755 /etc/secure-socket'
  const policy = `${make}; echo '{"datagrams": {"handshakeTimeout": 100}}' > /etc/secure-socket/policy.json`

  const both = inside(policy, own)
  t.match(
    both,
    { file: '/etc/secure-socket/policy.json', outcomes: ['no policy', 'no policy'] },
    'which sets nothing for streams',
  )
  t.match(
    both.warnings,
    [/^SECURE_SOCKET_POLICY is of no effect here/],
    'and the variable is told once',
  )
  t.strictSame(both.warnings.length, 1)
  t.match(inside(make, own), { file: own }, 'a folder without one is no policy')

  // Whoever can take a policy away, or seems to have, gets nothing by it.
  const refused = (script: string, why: RegExp, variable: string | undefined) => {
    const report = inside(script, variable)
    t.match(
      report,
      { outcomes: ['ERR_POLICY_INVALID', 'ERR_POLICY_INVALID'], sent: 'ERR_POLICY_INVALID' },
      script,
    )
    t.match(report.problems[0]?.message, why)
  }
  for (const variable of [undefined, own]) {
    refused(
      'mkdir /etc/secure-socket; chmod 777 /etc/secure-socket',
      /others may change what is in it/,
      variable,
    )
    refused(`${make}; ln -s nowhere /etc/secure-socket/policy.json`, /does not exist/, variable)
    refused('ln -s nowhere /etc/secure-socket', /does not exist/, variable)
    refused('echo > /etc/secure-socket', /no folder|ENOTDIR/, variable)
    refused(`${policy}; chmod 666 /etc/secure-socket/policy.json`, /others may change it/, variable)
    refused(
      `${make}; echo '{' > /etc/secure-socket/policy.json`,
      /no JSON: look at line 2, column 1/,
      variable,
    )
    refused(`${make}; mkdir /etc/secure-socket/policy.json`, /cannot be read/, variable)
  }

  // Volumes of Kubernetes have mode 0777, and nobody can write there.
  const volume = `mkdir /etc/v /etc/secure-socket; echo '{"streams": {"handshakeTimeout": 5}}' > /etc/v/policy.json; chmod 777 /etc/v`
  const readOnly = inside(
    `${volume}; mount --bind /etc/v /etc/secure-socket; mount -o remount,bind,ro /etc/secure-socket`,
    undefined,
  )
  t.match(readOnly, { file: '/etc/secure-socket/policy.json', outcomes: ['ERR_POLICY_FORBIDS'] })
  refused(
    `${volume}; mount --bind /etc/v /etc/secure-socket`,
    /others may change what is in it/,
    undefined,
  )
})

function run(
  flags: string[],
  variable: string | undefined,
  [path, args]: [string, string[]] = ['env', ['-u', 'NODE_OPTIONS']],
): Report {
  const { SECURE_SOCKET_POLICY: _none, NODE_OPTIONS: _taps, ...env } = process.env
  const given = variable === undefined ? {} : { SECURE_SOCKET_POLICY: variable }
  const { stdout, stderr, status } = spawnSync(
    path,
    [...args, process.execPath, ...flags, program],
    {
      env: { ...env, ...given },
      encoding: 'utf8',
      timeout: 30_000,
    },
  )
  if (status !== 0) throw new Error(`it ended with ${status}: ${stderr}`)
  return JSON.parse(stdout) as Report
}
