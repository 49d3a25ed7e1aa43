/**
 * Packs the package, installs the tarball into an empty project and uses it there as a stranger
 * would: with both module systems and with TypeScript. Needs `npm run build` before it.
 */
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import t from 'tap'
import { root } from '../support/project-root.js'

const run = promisify(execFile)
const faces = [
  'secure-socket',
  'secure-socket/net',
  'secure-socket/dgram',
  'secure-socket/promises',
  'secure-socket/policy',
]

// Outside the repository, where Node would find what the package forgot to depend on.
const folder = await realpath(await mkdtemp(join(tmpdir(), 'secure-socket-package-')))
t.teardown(() => rm(folder, { recursive: true, force: true }))

const tarball = await pack()
const project = await install(tarball, 'project')
const installed = join(project, 'node_modules/secure-socket')

t.test('what is packed', async t => {
  const { files } = JSON.parse(
    await npm(['pack', '--dry-run', '--json', '--ignore-scripts', tarball], project),
  )[0] as { files: { path: string }[] }
  const paths = files.map(file => file.path)
  for (const wanted of ['README.md', 'LICENSE', 'dist/index.js', 'dist/net.cjs', 'dist/cli.cjs'])
    t.ok(paths.includes(wanted), `${wanted} is there`)
  const stray = paths.filter(
    path => !/^(dist|docs)\/|^[A-Z]+(\.md)?$|^package\.json$|^policy\.schema\.json$/.test(path),
  )
  t.same(stray, [], 'no sources, tests or tools')
})

t.test('one instance of every class, whichever module system asks', async t => {
  const report = JSON.parse(await node('instances.mjs'))
  t.strictSame(report.different, [], 'import and require give the same values')
  t.strictSame(report.missing, [], 'nothing is missing')
  t.equal(report.socket, true, 'the root and ./net have the same SecureSocket')
  t.equal(report.datagrams, true, 'the root and ./dgram have the same SecureDgramSocket')
  t.equal(
    report.names,
    'SecureSocket SecureServer SecureDgramSocket SocketSecurityError',
    'classes keep their names',
  )
})

t.test('require and import both make a secured connection', async t => {
  t.equal(await node('exchange.cjs'), 'hello over TLSv1.3\n')
  t.equal(await node('exchange.mjs'), 'hello over TLSv1.3\n')
})

t.test('require and import both secure a datagram', async t => {
  t.equal(await node('datagram.cjs'), 'hello over DTLSv1.2\n')
  t.equal(await node('datagram.mjs'), 'hello over DTLSv1.2\n')
})

t.test('without optional dependencies streams work, and datagrams say what is missing', async t => {
  const lean = await install(tarball, 'lean', '--omit=optional')
  const script = async (...args: string[]) =>
    (await run(process.execPath, args, { cwd: lean })).stdout
  t.equal(await script('exchange.cjs'), 'hello over TLSv1.3\n')
  const said = await script('unavailable.cjs', 'npm install koffi')
  t.equal(said, 'ERR_PROVIDER_UNAVAILABLE true\n')
})

const noEnv = process.platform === 'win32' && 'there is no program env'
t.test('where native code is not permitted, datagrams name the flag', { skip: noEnv }, async t => {
  const flags = ['--permission', '--experimental-permission', '--allow-net'].filter(flag =>
    process.allowedNodeEnvironmentFlags.has(flag),
  )
  // The newer Node knows the older name of the flag too.
  const given = flags.includes('--permission')
    ? flags.filter(flag => flag !== '--experimental-permission')
    : flags
  const script = [...given, '--allow-fs-read=*', 'unavailable.cjs', '--allow-addons']
  // By env, because what tap has every program of node's load is not permitted either.
  const { stdout } = await run('env', ['-u', 'NODE_OPTIONS', process.execPath, ...script], {
    cwd: project,
  })
  t.equal(stdout, 'ERR_PROVIDER_UNAVAILABLE true\n')
})

t.test('no face loads native code', async t => {
  // A drop-in must also start where addons are forbidden, and koffi costs start-up time.
  for (const face of faces) {
    const before = await node('loaded.cjs', 'node:net')
    const after = await node('loaded.cjs', face)
    t.equal(after, before, face)
  }
})

t.test('the command runs from node_modules/.bin', async t => {
  const { stdout } = await run(process.execPath, [join(installed, 'dist/cli.cjs'), '--help'])
  t.match(stdout, /identity/)
})

t.test('types compile in ESM and CommonJS consumers', async t => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const types = join(root, 'node_modules/@types')
  for (const module of ['node16', 'nodenext']) {
    const options = ['--module', module, '--moduleResolution', module, '--typeRoots', types]
    await t.resolves(run(process.execPath, [tsc, ...options], { cwd: project }), module)
  }
})

t.test('publint finds nothing', async t => {
  const { messages, pkg } = await publint({ pkgDir: installed, strict: true, pack: false })
  t.strictSame(
    messages.map(message => formatMessage(message, pkg)),
    [],
  )
})

t.test('are-the-types-wrong finds nothing', async t => {
  const result = await checkPackage(createPackageFromTarballData(await readFile(tarball)))
  if (!result.types) return t.fail('no types found')
  // node10 is the resolution of TypeScript before exports maps; Node 20 projects have node16.
  const problems = result.problems.filter(
    problem => !('resolutionKind' in problem && problem.resolutionKind === 'node10'),
  )
  t.strictSame(problems, [])
})

async function pack(): Promise<string> {
  const output = await npm(
    ['pack', '--json', '--ignore-scripts', '--pack-destination', folder],
    root,
  )
  return join(folder, JSON.parse(output)[0].filename)
}

async function install(archive: string, name: string, ...options: string[]): Promise<string> {
  const project = join(folder, name)
  await cp(join(root, 'test/package/consumer'), project, { recursive: true })
  await writeFile(join(project, 'package.json'), '{ "private": true }\n')
  await npm(
    ['install', '--prefer-offline', '--no-audit', '--no-fund', ...options, archive],
    project,
  )
  return project
}

async function node(...args: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, args, { cwd: project })
  return stdout
}

async function npm(args: string[], cwd: string): Promise<string> {
  const script = process.env.npm_execpath
  const windows = process.platform === 'win32'
  const { stdout } = script
    ? await run(process.execPath, [script, ...args], { cwd })
    : await run('npm', args, { cwd, shell: windows })
  return stdout
}
