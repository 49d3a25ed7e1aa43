/** Datagrams that are written later than they are committed: in time, or they do not leave. */
import { constants } from 'node:os'
import t from 'tap'
import type { Outgoing } from '../../../src/channels/batch/outgoing.js'
import type { Destination } from '../../../src/providers/datagram-provider.js'
import { commit, destination, sending, tickOver } from './sending.js'

if (process.platform !== 'linux') {
  t.plan(0, 'only Linux sends like this')
  process.exit()
}

/** Who commits first and writes when he is told to. */
class Debtor {
  readonly #owed: (() => void)[] = []
  isBroken = false

  reserve(outgoing: Outgoing, text: string): void {
    const slot = outgoing.reserve(text.length + 10)
    const { arena, offset } = slot
    this.#owed.push(() => arena.bytes.write(text, offset))
    slot.owe?.(() => {
      for (const write of this.#owed.splice(0)) write()
      if (this.isBroken) throw new Error('lost')
    })
  }

  commit(
    outgoing: Outgoing,
    text: string,
    to: Destination,
    told?: (error: Error | null) => void,
  ): void {
    this.reserve(outgoing, text)
    outgoing.commit(text.length, to, told)
  }
}

const left = ({ system }: ReturnType<typeof sending>) =>
  system.left.map(({ bytes }) => String(bytes))

t.test('it is written before it leaves, of all sockets', async t => {
  const [one, other] = [sending(), sending()]
  const debtor = new Debtor()
  debtor.commit(one.outgoing, 'a', destination(1))
  debtor.commit(other.outgoing, 'b', destination(1))
  debtor.commit(one.outgoing, 'c', destination(2))
  await tickOver()
  t.same([left(one), left(other)], [['a', 'c'], ['b']])
  debtor.commit(one.outgoing, 'd', destination(1))
  one.outgoing.flush()
  t.same(left(one), ['a', 'c', 'd'])
  debtor.commit(one.outgoing, 'e', destination(1))
  one.outgoing.close()
  t.same(left(one), ['a', 'c', 'd', 'e'], 'also where the socket is closed')
})

t.test('beside others that stand there already', async t => {
  const one = sending()
  const debtor = new Debtor()
  const to = destination(1)
  debtor.commit(one.outgoing, 'owed', to)
  commit(one.outgoing, 'here', to)
  one.outgoing.send(Buffer.from('a flight'), to.address, to.port)
  debtor.commit(one.outgoing, 'owed, too', to)
  await tickOver()
  t.same(left(one), ['owed', 'here', 'a flight', 'owed, too'])
})

t.test('what was reserved and not committed does no harm to what comes into its place', async t => {
  const one = sending()
  const debtor = new Debtor()
  const to = destination(1)
  debtor.commit(one.outgoing, 'first', to)
  debtor.reserve(one.outgoing, 'refused')
  one.outgoing.send(Buffer.from('a flight'), to.address, to.port)
  debtor.reserve(one.outgoing, 'refused')
  commit(one.outgoing, 'last', to)
  debtor.reserve(one.outgoing, 'refused')
  await tickOver()
  t.same(left(one), ['first', 'a flight', 'last'])
  commit(one.outgoing, 'later', to)
  await tickOver()
  t.same(left(one).slice(3), ['later'])
})

t.test('it is written before it waits', async t => {
  const one = sending()
  const debtor = new Debtor()
  const to = destination(1)
  one.system.answer = () => constants.errno.EAGAIN
  for (const text of ['a', 'b']) debtor.commit(one.outgoing, text, to)
  await tickOver()
  for (const text of ['c', 'd']) debtor.commit(one.outgoing, text, to)
  one.system.answer = () => 0
  one.outgoing.writable()
  t.same(left(one), ['a', 'b', 'c', 'd'])
})

t.test('what is never written does not leave, and who waits is told', async t => {
  const [one, other] = [sending(), sending()]
  const debtor = new Debtor()
  const told: [string, string | undefined][] = []
  const tell = (text: string) => (error: Error | null) => told.push([text, error?.message])
  debtor.isBroken = true
  debtor.commit(one.outgoing, 'a', destination(1), tell('a'))
  commit(other.outgoing, 'b', destination(1), tell('b'))
  await tickOver()
  t.same([left(one), left(other)], [[], []])
  t.same(told, [
    ['a', 'lost'],
    ['b', 'lost'],
  ])
  debtor.isBroken = false
  for (const each of [one, other]) debtor.commit(each.outgoing, 'again', destination(1))
  await tickOver()
  t.same([left(one), left(other)], [['again'], ['again']])
})
