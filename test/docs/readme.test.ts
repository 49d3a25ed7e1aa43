/** The README's programs do what it says, as they stand there: in clear before, secured after. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { built } from '../examples/built.js'
import { launch } from '../support/program.js'
import { wireTap } from '../support/wire-tap.js'
import { blocks, read, root } from './markdown.js'

const readme = read('README.md')

t.before(built)

t.test('before and after', async t => {
  // Inside the repository, so that Node finds the package by its name.
  const directory = t.testdir()
  const command = blocks(readme, 'sh').find(each => each.includes('identity')) ?? ''
  for (const line of command.split('&&')) {
    const [npx, , ...args] = line.trim().split(' ')
    t.equal(npx, 'npx')
    const program = launch(t, process.execPath, [join(root, 'dist/cli.cjs'), ...args], {
      cwd: directory,
    })
    t.match(await program.ended(), { code: 0 }, program.output)
  }
  const [server = '', client = ''] = blocks(readme, 'diff')
  for (const [time, mark] of [
    ['before', '-'],
    ['after', '+'],
  ] as const) {
    const { toClient, printed } = await exchange(
      t,
      directory,
      side(server, mark),
      side(client, mark),
    )
    t.equal(printed, 'hello\n', time)
    t.equal(toClient.includes('hello'), time === 'before', `on the wire, ${time}`)
  }
})

t.test('the complete program prints what its comments say', async t => {
  const [program = ''] = blocks(readme, 'js')
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
async function exchange(t: Test, directory: string, server: string, client: string) {
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
