/** docs/security.md: its numbers are those of the code, and its codes those of the table of wrong peers. */
import t from 'tap'
import { parseSettings } from '../../src/model/settings.js'
import { wrongPeers } from '../hostile/identity/wrong-peers.js'
import { requireProgram } from '../support/foreign-program.js'
import { code, read, rows, section } from './markdown.js'

const text = read('docs/security.md')

const units: Record<string, number> = {
  '': 1,
  bytes: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GB: 1e9,
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
}

t.test('each limit that is a setting is its default', async t => {
  const defaults: Record<string, unknown> = { ...parseSettings({}, 'datagram') }
  const documented = rows(section(text, 'Limits that are settings'))
  t.ok(documented.length > 0)
  for (const [name = '', , number] of documented)
    t.equal(inUnits(number), defaults[code(name)], name)
})

t.test('each other limit is the constant that is named', async t => {
  const documented = rows(section(text, 'Other limits'))
  t.ok(documented.length > 0)
  for (const [what, number, where = ''] of documented) {
    const [name, file] = [...where.matchAll(/`([^`]+)`/g)].map(([, each = '']) => each)
    const source = read(file as string)
    const [, factors] =
      new RegExp(`\\bconst ${name} = ([\\d_]+(?: \\* [\\d_]+)*)$`, 'm').exec(source) ?? []
    const value = factors
      ?.split(' * ')
      .reduce((all, each) => all * Number(each.replaceAll('_', '')), 1)
    t.equal(inUnits(number), value, `${what}: ${where}`)
  }
})

t.test(
  'each wrong peer is in the table, with its code',
  { skip: !requireProgram(t, 'openssl') },
  async t => {
    const documented = rows(section(text, 'The wrong peer, in 14 ways'))
    for (const { way, code } of await wrongPeers(t))
      t.ok(
        documented.some(([, , error]) => error?.includes(`\`${code}\``)),
        `${way}: ${code}`,
      )
  },
)

/** Of "1,024", "5 min", "256 KiB". */
function inUnits(cell = ''): number {
  const [, number = '', unit = ''] = /^([\d,]+) ?(\w*)$/.exec(cell) ?? []
  return Number(number.replaceAll(',', '')) * (units[unit] ?? Number.NaN)
}
