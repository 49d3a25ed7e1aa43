// The guards of a process: what is kept of those that could not be put in their place, or taken away.
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Guards } from '../../../../src/providers/strongswan/daemon/guards.js'
import { Link } from '../../../../src/providers/strongswan/daemon/link.js'
import { sectionsOf, textOf } from '../../../../src/providers/strongswan/vici/section.js'
import { descriptors } from '../../../support/descriptors.js'
import { failure } from '../../../support/events.js'
import { type FakeVici, fakeVici } from '../fake-vici.js'

const skip = process.platform === 'linux' ? false : 'of Linux'

function guardsAt(t: Test, path: string): { guards: Guards; link: Link } {
  const link = new Link(path, { event: () => {}, lost: () => {} })
  t.teardown(() => link.close())
  return { guards: new Guards(link), link }
}

t.test('without a daemon nothing is left of an attempt', { skip }, async t => {
  const { guards } = guardsAt(t, join(t.testdir(), 'charon.vici'))
  await failure(guards.add('udp', 5000))
  const before = descriptors()
  for (let count = 0; count < 50; count++) await failure(guards.add('udp', 5000))
  t.equal(descriptors(), before, 'each had a canary, which is a bound socket')
  t.equal(guards.size, 0)
})

t.test('one that the kernel does not take is taken back, once', { skip }, async t => {
  const vici = await fakeVici(t, {
    'load-conn': () => ({ success: true }),
    'list-policies': () => ({}),
    'unload-conn': () => ({ success: true }),
  })
  const { guards, link } = guardsAt(t, vici.path)
  await link.connect()
  const before = descriptors()
  t.match(await failure(guards.add('udp', 5000)), { code: 'ERR_PROVIDER_UNAVAILABLE' })
  t.match(names(vici, 'unload-conn'), [/5000/])
  t.equal(descriptors(), before)
})

t.test('what the daemon may have is kept, and its canary, until it is back', { skip }, async t => {
  const vici = await fakeVici(t)
  const { guards, link } = guardsAt(t, vici.path)
  await link.connect()
  const before = descriptors()
  // It takes the guard, and is gone before it can say so.
  vici.answers['load-conn'] = async () => {
    await vici.stop()
    return undefined
  }
  await failure(guards.add('udp', 5000))
  t.equal(names(vici, 'load-conn').length, 1)
  // Gone are both ends of the connection, and what listened for it; the canary is there.
  t.equal(descriptors(), before - 3 + 1)

  vici.answers['load-conn'] = () => ({ success: true })
  vici.answers['list-policies'] = () => ({})
  await vici.start()
  // Here no kernel has it: that is told, and it is tried again at the next occasion.
  t.match(await failure(guards.restore()), { code: 'ERR_PROVIDER_UNAVAILABLE' })
  t.equal(names(vici, 'load-conn').length, 2)
})

function names({ asked }: FakeVici, command: string): readonly string[] {
  return asked
    .filter(each => each.command === command)
    .map(({ message }) => textOf(message, 'name') ?? `${sectionsOf(message)[0]?.[0]}`)
}
