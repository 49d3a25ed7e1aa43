/** The README's programs do what it says, as they stand there: in clear before, secured after. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { transform } from 'esbuild'
import t, { type Test } from 'tap'
import { built } from '../examples/built.js'
import { launch } from '../support/program.js'
import { root } from '../support/project-root.js'
import { udpTap } from '../support/udp-tap.js'
import { wireTap } from '../support/wire-tap.js'
import { blocks, read } from './markdown.js'

const readme = read('README.md')

t.before(built)

// Inside the repository, so that Node finds the package by its name.
const directory = t.testdir()

t.test('the two commands make an authority and an identity', async t => {
  const command = blocks(readme, 'sh').find(each => each.includes('identity')) ?? ''
  for (const line of command.split('&&')) {
    const [npx, , ...args] = line.trim().split(' ')
    t.equal(npx, 'npx')
    const program = launch(t, process.execPath, [join(root, 'dist/cli.cjs'), ...args], {
      cwd: directory,
    })
    t.match(await program.ended(), { code: 0 }, program.output)
  }
})

t.test('before and after', async t => {
  const [server = '', client = ''] = blocks(readme, 'diff')
  for (const [time, mark] of [
    ['before', '-'],
    ['after', '+'],
  ] as const) {
    const { toClient, printed } = await exchange(t, side(server, mark), side(client, mark))
    t.equal(printed, 'hello\n', time)
    t.equal(toClient.includes('hello'), time === 'before', `on the wire, ${time}`)
  }
})

t.test('datagrams, before and after', async t => {
  const [, , program = ''] = blocks(readme, 'diff')
  for (const [time, mark] of [
    ['before', '-'],
    ['after', '+'],
  ] as const) {
    const { seen, served, printed } = await datagrams(t, side(program, mark))
    t.equal(served, 'hello\n', time)
    t.equal(printed, 'hello, too\n', time)
    t.equal(seen.includes('hello'), time === 'before', `on the wire, ${time}`)
  }
})

t.test('every piece of JavaScript is JavaScript', async t => {
  for (const piece of blocks(readme, 'js'))
    await t.resolves(transform(piece, { loader: 'js', format: 'esm' }), piece)
})

t.test('the complete program prints what its comments say', async t => {
  const program = blocks(readme, 'js').find(each => each.startsWith('import')) ?? ''
  const expected = [...program.matchAll(/^console\.log\(.*\) \/\/ (.*)$/gm)].map(
    ([, text]) => `${text}\n`,
  )
  t.ok(expected.length > 0)
  const file = join(t.testdir({ 'program.mjs': program }), 'program.mjs')
  const running = launch(t, process.execPath, [file])
  t.match(await running.ended(), { code: 0 }, running.output)
  t.equal(running.output, expected.join(''))
})

/** The program of one side of a diff. */
function side(diff: string, mark: '-' | '+'): string {
  const other = mark === '-' ? '+' : '-'
  const lines = diff.split('\n').filter(line => !line.startsWith(other))
  return lines.map(line => line.slice(1)).join('\n')
}

/** Runs both programs with a tap between them. Only the ports are not the README's. */
async function exchange(t: Test, server: string, client: string) {
  const listen = "listen(5000, 'localhost')"
  t.ok(server.includes(listen))
  t.ok(client.includes('port: 5000'))
  const told = "server.once('listening', () => console.log(server.address().port))\n"
  await writeFile(
    join(directory, 'server.mjs'),
    `${server.replace(listen, "listen(0, '127.0.0.1')")}${told}`,
  )
  const serving = launch(t, process.execPath, ['server.mjs'], { cwd: directory })
  const [port] = await serving.said(/^\d+$/m)

  const tap = await wireTap(Number(port))
  t.teardown(() => tap.close())
  await writeFile(join(directory, 'client.mjs'), client.replace('5000', String(tap.port)))
  const asking = launch(t, process.execPath, ['client.mjs'], { cwd: directory })
  t.match(await asking.ended(), { code: 0 }, asking.output)
  await serving.stop()
  return { printed: asking.output, toClient: tap.toClient() }
}

/** Runs the program at both ends, with a tap between them. */
async function datagrams(t: Test, program: string) {
  t.ok(program.includes("bind(5000, 'localhost')"))
  const told = "socket.once('listening', () => console.log('port', socket.address().port))\n"
  const serving = await run('serving.mjs', `${program.replace('bind(5000', 'bind(0')}${told}`)
  const [line = '', port] = await serving.said(/^port (\d+)\n/m)

  const tap = await udpTap(Number(port))
  t.teardown(() => tap.close())
  const asking = await run('asking.mjs', program.replaceAll('5000', String(tap.port)))
  t.match(await asking.ended(), { code: 0 }, asking.output)
  await serving.stop()
  const seen = Buffer.concat([...tap.toServer, ...tap.toClient])
  return { served: serving.output.replace(line, ''), printed: asking.output, seen }

  async function run(file: string, text: string) {
    await writeFile(join(directory, file), text)
    const role = file === 'serving.mjs' ? ['serve'] : []
    return launch(t, process.execPath, [file, ...role], { cwd: directory })
  }
}
