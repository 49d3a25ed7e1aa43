/** The examples of servers in several processes and threads: clients resume wherever they come to. */
import { join } from 'node:path'
import t from 'tap'
import { launch } from '../support/program.js'
import { root } from '../support/project-root.js'
import { built } from './built.js'
import { inOrder } from './sdk-pairs.js'

const skip =
  process.platform === 'linux' ? false : 'only Linux shares a port in every version of Node'
const example = (name: string) => join(root, 'examples', name)

t.before(built)

t.test('a cluster: both kinds of sockets, a worker that is killed', { skip }, async t => {
  const program = launch(t, process.execPath, [example('cluster.mjs'), '--demo'])
  const { code } = await program.ended(60_000)
  const { output } = program
  t.equal(code, 0, output)
  t.match(output, /^Serving on 127\.0\.0\.1, tcp port \d+ and udp port \d+$/m)
  const tcp = [...output.matchAll(/^tcp: (worker \d+) answers, (.*)$/gm)]
  t.equal(new Set(tcp.map(([, worker]) => worker)).size, 2, 'both workers have answered')
  const [first, ...rest] = tcp.map(([, , handshake]) => handshake)
  t.equal(first, 'after a full handshake')
  t.ok(rest.length > 0)
  t.same([...new Set(rest)], ['resumed'], 'wherever it came to')
  const [, worker] = /^udp: (worker \d+) answers, after a full handshake$/m.exec(output) ?? []
  t.match(output, inOrder(`udp: ${worker} is killed`, 'answers, resumed'))
  t.notMatch(output, `udp: ${worker} answers, resumed`)
})

t.test('threads: the clients of one that has ended', { skip }, async t => {
  const program = launch(t, process.execPath, [example('threads.mjs'), '--demo'])
  const { code } = await program.ended(60_000)
  const { output } = program
  t.equal(code, 0, output)
  t.match(output, /^Serving on 127\.0\.0\.1, udp port \d+$/m)
  t.equal(output.match(/^thread \d+ has a client$/gm)?.length, 2)
  const [, ended] = /^(thread \d+) has ended$/m.exec(output) ?? []
  const [, heir] = /^(thread \d+) has its client now, resumed$/m.exec(output) ?? []
  t.ok(ended && heir && ended !== heir, output)
})
