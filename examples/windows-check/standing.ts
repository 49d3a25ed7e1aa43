/** Whether a name is looked at where the two machines have authenticated each other already. */
import { query, setName, setSecurity } from './calls.js'
import { listen } from './dial.js'
import { protection } from './machine.js'
import { type Check, peerOf, type Question } from './question.js'
import { named } from './report.js'
import { settingsOf } from './server.js'
import * as sockets from './sockets.js'
import { spelling } from './spelling.js'
import { type Address, peerTargetName, queryTemplate, sizes } from './variants.js'

export const standing: Question = {
  id: 'standing',
  asks: 'Does a target name count where security with that peer stands already?',
  expected:
    'yes: beside a secured connection to the same port, one with a wrong name is not secured',
  needs: 'peer',
  async answer(check) {
    const { spn, wrongNames, control } = peerOf(check)
    const open: number[] = []
    try {
      const to = await listen(check, { kind: 'stream', settings: spelling(check).settings })
      // Both stay open: what the first has negotiated is there for the others.
      if (!(await isSecured(check, { what: 'the right name', name: spn, to, open })))
        return { answer: 'the right name is not secured', agrees: null }
      const taken: string[] = []
      for (const [what, name] of Object.entries(wrongNames))
        if (await isSecured(check, { what, name, to, open })) taken.push(what)
      if (taken.length === 0) return { answer: 'yes', agrees: true }
      return { answer: `NO: secured in spite of ${taken.join('; ')}`, agrees: false }
    } finally {
      sockets.close(...open)
      await control.ask({ do: 'close' })
    }
  },
}

interface Attempt {
  readonly what: string
  readonly name: string
  readonly to: Address
  /** Takes the SOCKET. */
  readonly open: number[]
}

async function isSecured(check: Check, { what, name, to, open }: Attempt): Promise<boolean> {
  const { settings, protocol, unit } = spelling(check)
  const failed = (call: string, error: number) => {
    check.note(what, `${call}: ${named(error)}`)
    return false
  }
  const socket = sockets.newSocket('stream', to)
  open.push(socket)
  const set = await setSecurity(socket, settingsOf(settings))
  if (set.error !== 0) return failed('WSASetSocketSecurity', set.error)
  const given = await setName(socket, peerTargetName(protocol, name, { unit }))
  if (given.error !== 0) return failed('WSASetSocketPeerTargetName', given.error)
  const made = await sockets.connect(socket, to, check.patience)
  if (made.error !== 0) return failed('connect', made.error)
  const { info, error } = await query(socket, null, sizes.QUERY_INFO)
  const wide = await query(socket, queryTemplate('IPSEC2'), sizes.QUERY_INFO_IPSEC2)
  sockets.send(socket, 'ping')
  const got = await sockets.receive(socket, 10_000)
  const data = 'text' in got ? 'data' : 'NO DATA'
  check.note(what, `${info ? protection(info) : named(error)}; ${data} both ways`)
  check.note(`${what}, IPSEC2`, `${named(wide.error)} ${JSON.stringify(wide.info ?? {})}`)
  return info?.secured ?? false
}
