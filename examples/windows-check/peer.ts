/** What two machines can answer together of streams: whom the names mean, and what accepted connections have. */
import { dial, dialInClear } from './dial.js'
import { protection } from './machine.js'
import { peerOf, type Question } from './question.js'
import { ours, remember, spelling, spellings } from './spelling.js'
import { standing } from './standing.js'

const names: Question = {
  id: 'names',
  asks: 'Whom may a peer be, by how the name is written?',
  expected: 'the right name connects, encrypted; wrong ones do not',
  needs: 'peer',
  async answer(check) {
    const peer = peerOf(check)
    const right: string[] = []
    const open: string[] = []
    for (const each of spellings) {
      const dialled = await dial(check, { spelling: each, name: peer.spn })
      check.note(`${each.what}, the right name`, dialled.text)
      if (!dialled.exchanged) continue
      remember(peer, each)
      right.push(each.what)
      for (const [kind, name] of Object.entries(peer.wrongNames)) {
        const wrong = await dial(check, { spelling: each, name })
        check.note(`${each.what}, ${kind}`, wrong.text)
        // In clear it is no danger: the library asks, and then closes.
        if (wrong.secured) open.push(`${each.what}, ${kind}`)
      }
    }
    const nameless = await dial(check, { spelling: ours, name: null })
    check.note('this library, no name', nameless.text)
    if (right.length === 0) return { answer: 'nothing connects with the right name', agrees: false }
    const connects = `connects: ${right.join(', ')}`
    const lets = open.length === 0 ? 'no wrong name does' : `A WRONG NAME DOES: ${open.join('; ')}`
    return {
      answer: `${connects}; ${lets}`,
      agrees: right.includes(ours.what) && open.length === 0,
    }
  },
}

const defaultPolicy: Question = {
  id: 'default-policy',
  asks: 'What do settings that are NULL give?',
  expected: 'a connection that need not be encrypted (the library never sends NULL)',
  needs: 'peer',
  async answer(check) {
    const dialled = await dial(check, { spelling: { ...spelling(check), settings: 'NULL' } })
    check.note('both ends NULL', dialled.text)
    if (!dialled.exchanged) return { answer: 'no connection', agrees: null }
    return { answer: dialled.protection, agrees: dialled.protection !== 'encrypted' }
  },
}

const accepted: Question = {
  id: 'accepted',
  asks: 'Do accepted connections have the security of the listening socket?',
  expected: 'yes: they can be queried, and a peer without IPsec is kept out',
  needs: 'peer',
  async answer(check) {
    const { seen, exchanged } = await dial(check, {})
    if (!seen) return { answer: 'the server has accepted nothing', agrees: null }
    check.note('query of the accepted socket', seen.info ? protection(seen.info) : seen.query)
    check.note('settings for the accepted socket', seen.settingsAgain ?? 'not tried')
    const clear = await dialInClear(check)
    check.note('a client without IPsec', clear ? 'GETS AN ANSWER' : 'gets no answer')
    const secured = seen.info?.secured ?? false
    if (!exchanged) return { answer: 'the connection carries no data', agrees: null }
    return {
      answer: `${secured ? 'yes' : 'NO'}; a client without IPsec is ${clear ? 'LET IN' : 'kept out'}`,
      agrees: secured && !clear,
    }
  },
}

const wideQuery: Question = {
  id: 'query-ipsec2',
  asks: 'Does a query by SOCKET_SECURITY_QUERY_INFO_IPSEC2 say more?',
  expected: 'yes: the numbers of the security associations, at both ends',
  needs: 'peer',
  async answer(check) {
    const { wide, seen } = await dial(check, {})
    check.note('at the client', wide ?? 'no connection')
    check.note('at the server', seen ? `${seen.wideQuery} ${JSON.stringify(seen.wide ?? {})}` : '')
    const told = wide?.includes('"mainModeSa":true') ?? false
    return { answer: told ? 'yes' : 'no', agrees: wide === undefined ? null : told }
  },
}

const dualStack: Question = {
  id: 'dual-stack',
  asks: 'Is IPv4 secured on a listening socket for both families?',
  expected: 'yes',
  needs: 'peer',
  async answer(check) {
    const { text, seen } = await dial(check, { dualStack: true })
    check.note('IPv4', text)
    if (!seen) return { answer: 'the server has accepted nothing', agrees: null }
    const secured = seen.info?.secured ?? false
    return { answer: secured ? 'yes' : 'no', agrees: secured }
  },
}

const impersonation: Question = {
  id: 'impersonation',
  asks: 'Does WSAImpersonateSocketPeer work, on overlapped sockets too, and is it reverted?',
  expected: 'on others as documented; where it does not, the token of a query does',
  needs: 'peer',
  async answer(check) {
    const works: string[] = []
    let reverted = true
    let tried = false
    for (const overlapped of [false, true]) {
      const kind = overlapped ? 'overlapped' : 'not overlapped'
      const { seen, text } = await dial(check, { overlapped, impersonate: true })
      const what = seen?.impersonation
      if (!what) {
        check.note(kind, text)
        continue
      }
      tried = true
      for (const [step, got] of Object.entries(what.steps)) check.note(`${kind}, ${step}`, got)
      if (what.direct) works.push(kind)
      if (what.byToken) works.push(`${kind} by the token`)
      reverted &&= what.reverted
    }
    if (!tried) return { answer: 'nothing was accepted', agrees: null }
    const answer = `${works.join(', ') || 'not at all'}${reverted ? '' : '; NOT REVERTED'}`
    return { answer, agrees: reverted && works.some(each => each.startsWith('overlapped')) }
  },
}

export const peerQuestions: readonly Question[] = [
  names,
  standing,
  defaultPolicy,
  accepted,
  wideQuery,
  dualStack,
  impersonation,
]
