/** What two machines can answer together of datagrams. */
import { deleteName, query, setName, setSecurity } from './calls.js'
import { listen } from './dial.js'
import { duration, protection } from './machine.js'
import { type Check, peerOf, type Question } from './question.js'
import { named } from './report.js'
import { type Listening, type Seen, settingsOf } from './server.js'
import * as sockets from './sockets.js'
import { spelling } from './spelling.js'
import { peerTargetName, queryTemplate, sizes, socketAddress } from './variants.js'

const delivery: Question = {
  id: 'datagrams',
  asks: 'Are datagrams secured, and only those of the right peer delivered?',
  expected: 'yes; in clear nothing arrives; a name can be deleted',
  needs: 'peer',
  async answer(check) {
    const { spn, wrongNames } = peerOf(check)
    const right = await exchange(check, { what: 'the right name', name: spn })
    const others = []
    for (const [what, name] of Object.entries(wrongNames))
      others.push(await exchange(check, { what, name }))
    others.push(await exchange(check, { what: 'a client without IPsec', name: null }))
    const first = right.secured
      ? 'the right name arrives, secured'
      : 'the right name does not arrive'
    const kept = others.every(({ arrived }) => !arrived)
    return {
      answer: `${first}; ${kept ? 'nothing else does' : 'OTHERS ARRIVE, see below'}`,
      agrees: right.secured && kept,
    }
  },
}

const ports: Question = {
  id: 'datagram-ports',
  asks: 'Does a target name for port 0 stand for all ports of the address?',
  expected: 'yes (the library sets it for the exact port all the same)',
  needs: 'peer',
  async answer(check) {
    const { spn, wrongNames } = peerOf(check)
    const [[what = '', wrong = ''] = []] = Object.entries(wrongNames)
    const right = await exchange(check, { what: 'the right name', name: spn, allPorts: true })
    const other = await exchange(check, { what, name: wrong, allPorts: true })
    if (!right.secured) return { answer: 'the right name does not arrive', agrees: false }
    return { answer: other.arrived ? 'no: it is not checked' : 'yes', agrees: !other.arrived }
  },
}

const answering: Question = {
  id: 'datagram-answer',
  asks: "Is a peer's target name checked where the peer begins?",
  expected: 'yes: a client that the server calls by a wrong name is not delivered',
  needs: 'peer',
  async answer(check) {
    const { spn } = peerOf(check)
    const request = { name: spn, nameAtServer: 'host/nobody.invalid' }
    const { arrived } = await exchange(check, { what: 'a wrong name at the server', ...request })
    return { answer: arrived ? 'no' : 'yes', agrees: !arrived }
  },
}

const connected: Question = {
  id: 'datagram-connected',
  asks: 'Does it work on a connected datagram socket, and can the name be deleted there?',
  expected: 'yes (the library ignores it where it cannot be deleted)',
  needs: 'peer',
  async answer(check) {
    const { spn } = peerOf(check)
    const request = { what: 'connected', name: spn, connected: true }
    const { secured, deleted } = await exchange(check, request)
    return { answer: `${secured ? 'yes' : 'no'}; deleting: ${deleted}`, agrees: secured }
  },
}

export const datagramQuestions: readonly Question[] = [delivery, ports, answering, connected]

interface Exchange {
  readonly what: string
  /** null: without IPsec. */
  readonly name: string | null
  /** The name is for port 0. */
  readonly allPorts?: boolean
  readonly connected?: boolean
  /** What the server says that we must prove to be. */
  readonly nameAtServer?: string
}

interface Exchanged {
  /** It came to the server. */
  readonly arrived: boolean
  /** And Windows calls it secured there. */
  readonly secured: boolean
  /** What deleting the name gave. */
  readonly deleted: string
}

/** Sends until an answer comes, or the time is over: the first ones may be lost while IPsec negotiates. */
async function exchange(check: Check, request: Exchange): Promise<Exchanged> {
  const { what, name, allPorts = false, connected = false, nameAtServer } = request
  const { control, ...peer } = peerOf(check)
  const { settings, protocol, unit } = spelling(check)
  const note = (step: string, got: string) => check.note(`${what}, ${step}`, got)
  const nothing = { arrived: false, secured: false, deleted: 'not tried' }
  const socket = sockets.newSocket('datagram', peer)
  try {
    let mine: Listening['peerName']
    if (name !== null) {
      const set = await setSecurity(socket, settingsOf(settings))
      note('settings', named(set.error))
      if (set.error !== 0) return nothing
      sockets.bind(socket, { address: '0.0.0.0', port: 0 })
      const { port } = sockets.localAddress(socket)
      if (nameAtServer) mine = { port, name: nameAtServer, protocol, unit }
    }
    const to = await listen(check, {
      kind: 'datagram',
      settings,
      ...(mine ? { peerName: mine } : {}),
    })
    const about = allPorts ? { ...to, port: 0 } : to
    const ask = () => query(socket, queryTemplate('DEFAULT', { peer: to }), sizes.QUERY_INFO)
    if (name !== null) {
      const given = await setName(socket, peerTargetName(protocol, name, { unit, peer: about }))
      note('name', named(given.error))
      if (given.error !== 0) return nothing
      if (connected)
        note('connect', named((await sockets.connect(socket, to, check.patience)).error))
      const early = await ask()
      note('query before', early.info ? protection(early.info) : named(early.error))
    }

    const deadline = performance.now() + check.patience
    let got: Awaited<ReturnType<typeof sockets.receive>> = { error: 0 }
    let sent = 0
    do {
      const error = sockets.send(socket, 'ping', connected ? undefined : to)
      sent += 1
      if (sent === 1) note('send', named(error))
      if (sent === 1 && name !== null) {
        const soon = await ask()
        note('query at once', soon.info ? protection(soon.info) : duration(soon))
      }
      got = await sockets.receive(socket, 3_000)
      // An ICMP error comes at once.
      if ('error' in got && got.error !== sockets.WSAETIMEDOUT) await sockets.delay(500)
    } while ('error' in got && performance.now() < deadline)
    note('the answer', 'text' in got ? `${got.text}, to message ${sent}` : named(got.error))

    const { seen } = await control.ask<{ seen: Seen | null }>({ do: 'seen', wait: 0 })
    note('at the server', seen ? (seen.info ? protection(seen.info) : seen.query) : 'nothing came')
    let deleted = 'not tried'
    if (name !== null) {
      const late = await ask()
      note('query after', late.info ? protection(late.info) : named(late.error))
      deleted = named((await deleteName(socket, socketAddress(about))).error)
      note('delete the name', deleted)
      note('delete it again', named((await deleteName(socket, socketAddress(about))).error))
    }
    return { arrived: seen !== null, secured: seen?.info?.secured ?? false, deleted }
  } finally {
    sockets.close(socket)
    await control.ask({ do: 'close' })
  }
}
