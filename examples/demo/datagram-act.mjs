// The second act: one socket and three peers, each with a name of its own, first over node:dgram and
// then over secure-socket/dgram. One of the three is not who it should be.

import { createIdentity } from 'secure-socket'
import { reply, start } from './children.mjs'
import { dtlsRecords, payloadOf, recordOf } from './datagram-records.mjs'
import { tapDatagrams } from './datagram-tap.mjs'
import { listRecords } from './records.mjs'
import { hexDump, rowLength, spread, wrap } from './terminal.mjs'

const secret = 'PIN 4711'
const questions = [`${secret}: quiet?`, `${secret}: still?`]
const answer = 'All quiet.'
const lookouts = [
  { label: 'oak', targetName: 'host/oak.example.com', proves: 'host/oak.example.com' },
  { label: 'mill', targetName: 'host/mill.example.com', proves: 'host/mill.example.com' },
  { label: 'cave', targetName: 'host/cave.example.com', proves: 'host/fox.example.com' },
]
const impostor = 2
const clientName = 'spiffe://example.com/alice'

/**
 * @param {ReturnType<import('./terminal.mjs').createTerminal>} terminal
 * @param {(condition: unknown, what: string) => unknown} expect notes what was not seen
 */
export async function datagramAct({ authority, security, terminal, expect }) {
  const { print, panels, style, symbols, width, innerWidth, fit } = terminal
  const peers = start('datagram-peers.mjs')
  const client = start('datagram-client.mjs')
  try {
    const identities = await Promise.all(
      lookouts.map(({ proves }) => createIdentity({ authority, names: [proves] })),
    )
    peers.send(lookouts.map(({ label }, index) => ({ label, answer, security: identities[index] })))
    const { ports } = await reply(peers)
    const plain = await exchange('node:dgram', ports.plain, {})
    const secured = await exchange('secure-socket/dgram', ports.secured, { security })
    peers.send('report')
    const heard = await reply(peers)

    showTitle()
    showWire(plain, secured)
    showPeers(secured.outcomes, heard.secured)
  } finally {
    for (const child of [peers, client]) if (child.connected) child.disconnect()
  }

  /** The client asks the three, each by way of a tap of its own. */
  async function exchange(face, ports, { security }) {
    const taps = await Promise.all(ports.map(tapDatagrams))
    const addressed = taps.map(({ port }, index) => ({
      address: '127.0.0.1',
      port,
      targetName: lookouts[index].targetName,
    }))
    client.send({ face, security, peers: addressed, questions })
    const { outcomes } = await reply(client)
    for (const tap of taps) tap.close()
    return { outcomes, taps }
  }

  function showTitle() {
    const line = style(symbols.line.repeat(5), 'dim')
    print(
      style(symbols.line.repeat(width), 'dim'),
      '',
      spread(
        `one socket ${line} three peers`,
        style(`processes ${client.pid}, ${process.pid}, ${peers.pid}`, 'dim'),
        width,
      ),
      ...wrap(
        'Three lookouts. In the cave sits the fox, who would like to have the PIN:',
        width,
      ).map(line => style(line, 'dim')),
      '',
    )
  }

  function showWire(plain, secured) {
    panels(
      {
        title: "from 'node:dgram'",
        colour: 'red',
        lines: [
          ...lookouts.flatMap((_, index) => plainView(plain, index)),
          ...verdict(plain, true),
        ],
      },
      {
        title: "from 'secure-socket/dgram'",
        colour: 'green',
        lines: [
          ...lookouts.flatMap((_, index) => securedView(secured, index)),
          ...verdict(secured, false),
        ],
      },
    )
  }

  function plainView({ outcomes, taps }, index) {
    const [datagram = Buffer.alloc(0)] = taps[index].sent
    expect(outcomes[index].answers.length === 2, `two plain answers of ${lookouts[index].label}`)
    const found = datagram.indexOf(secret)
    const paint = (text, at) =>
      found >= 0 && at >= found && at < found + secret.length ? style(text, 'danger') : text
    const told =
      index === impostor
        ? style(`${symbols.no} the fox has the PIN now`, 'red')
        : `${symbols.to} ${outcomes[index].answers[0]}`
    return [
      heading(lookouts[index].label, `all ${datagram.length} bytes`),
      ...dump(datagram, paint),
      told,
      '',
    ]
  }

  function securedView({ outcomes, taps }, index) {
    const { label, targetName } = lookouts[index]
    const records = dtlsRecords(taps[index].sent)
    const { bytes = Buffer.alloc(0) } = recordOf(questions[0], records) ?? {}
    const total = number(size(taps[index].sent))
    if (index === impostor) {
      expect(!records.some(({ data }) => data), 'nothing but a handshake to the fox')
      const seen = wrap(listRecords(records), innerWidth)
      return [
        heading(label, `all ${total} bytes`),
        ...filled(seen.map(line => style(line, 'green'))),
        style(`${symbols.yes} refused: a handshake, no data`, 'green'),
        '',
      ]
    }
    expect(
      bytes.length > 0,
      `a record with the ${questions[0].length} bytes of the question to ${label}`,
    )
    expect(outcomes[index].targetName === targetName, `the target name in rinfo of ${label}`)
    return [
      heading(label, `${questions[0].length} of ${total} bytes`),
      ...dump(payloadOf(questions[0], bytes), text => style(text, 'green')),
      `${symbols.to} ${outcomes[index].answers[0]}`,
      '',
    ]
  }

  function verdict({ taps }, readable) {
    const seen = taps.map(({ sent, received }) => Buffer.concat([...sent, ...received]))
    const count = taps.reduce((sum, { sent, received }) => sum + sent.length + received.length, 0)
    const found = seen.filter(bytes => bytes.includes(secret)).length
    expect(found === (readable ? 3 : 0), `"${secret}" ${readable ? 'at every' : 'at no'} tap`)
    return [
      style(fit(`searched ${number(count)} datagrams, both ways:`, innerWidth), 'dim'),
      readable
        ? style(`${symbols.no} "${secret}" can be read`, 'red')
        : style(`${symbols.yes} "${secret}" is not there`, 'green'),
    ]
  }

  function showPeers(outcomes, heard) {
    print('', style('One socket, three peers, a target name for each', 'bold'))
    for (const [index, { label, targetName }] of lookouts.entries()) {
      const { answers, version, cipher, error } = outcomes[index]
      const told = heard.filter(each => each.label === label)
      const column = `${label.padEnd(5)} ${targetName.padEnd(22)} `
      if (index === impostor) {
        expect(error?.code === 'ERR_PEER_TARGET_NAME_MISMATCH', 'the refusal of the wrong peer')
        expect(told.length === 0, 'that the wrong peer has heard nothing')
        print(`  ${red(symbols.no)} ${column}${style(error?.code ?? 'no error', 'red', 'bold')}`)
        print(...indented(error?.message ?? ''))
        continue
      }
      expect(answers.length === 2, `two answers of ${label}`)
      expect(
        told.length === 2 && told.every(({ names }) => names?.includes(clientName)),
        `that ${label} knows the client`,
      )
      const columns = `  ${symbols.yes} ${column}${version}  `.length
      print(`  ${green(symbols.yes)} ${column}${version}  ${fit(cipher ?? '', width - columns)}`)
    }
    const told = 'The other two were asked again after the refusal, and answered again.'
    const [first, ...more] = wrap(told, width - 4 - symbols.yes.length)
    print(`  ${green(symbols.yes)} ${first}`, ...more.map(line => `    ${line}`), '')
  }

  function dump(bytes, paint) {
    return filled(hexDump(bytes.subarray(0, DUMPED), innerWidth, paint))
  }

  /** As many lines as a dump has, so that the two sides stand at the same height. */
  function filled(lines) {
    const rows = Math.max(2, DUMPED / rowLength(innerWidth))
    return [...lines, ...Array(rows).fill('')].slice(0, Math.max(rows, lines.length))
  }

  function heading(label, told) {
    return spread(style(`client ${symbols.to} ${label}`, 'bold'), style(told, 'dim'), innerWidth)
  }

  function indented(text) {
    return wrap(text, width - 4).map(line => `    ${line}`)
  }

  function green(text) {
    return style(text, 'green')
  }

  function red(text) {
    return style(text, 'red')
  }
}

/** How many bytes of a datagram are shown. */
const DUMPED = 16

function size(datagrams) {
  return datagrams.reduce((sum, { length }) => sum + length, 0)
}

function number(value) {
  return value.toLocaleString('en')
}
