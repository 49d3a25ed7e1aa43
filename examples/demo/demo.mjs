// What `npm start` shows, in two acts. Streams: one exchange between two processes, as somebody on the
// wire sees it, first over node:net and then over secure-socket/net; what the two ends know of each
// other; and a server that is not who it should be. Datagrams: one socket and three peers, one of
// them not who it should be. Ends with 0 only if all of it was really seen.

import { createRequire } from 'node:module'
import { createAuthority, createIdentity } from 'secure-socket'
import { reply, start } from './children.mjs'
import { datagramAct } from './datagram-act.mjs'
import { listRecords, recordOf, tlsRecords } from './records.mjs'
import { tapConnection } from './tap.mjs'
import { createTerminal, hexDump, rowLength, spread, wrap } from './terminal.mjs'

const request = "PIN 4711: where's the treasure?\n"
const answer = 'Under the old oak, 3 feet deep.\n'
const secrets = ['PIN 4711', 'old oak']
const rightName = 'host/vault.example.com'
const wrongName = 'host/bank.example.com'
const clientName = 'spiffe://example.com/alice'
const TIMEOUT_MS = 30_000

const terminal = createTerminal(process.stdout, process.env)
const { print, panels, style, symbols, width, innerWidth, fit } = terminal
const unseen = []

const server = start('server.mjs')
const client = start('client.mjs')
const watchdog = setTimeout(() => {
  console.error(`Nothing more happened within ${TIMEOUT_MS / 1000} s.`)
  server.kill()
  client.kill()
  process.exit(1)
}, TIMEOUT_MS)

try {
  await demo()
} catch (error) {
  print('', style(`${symbols.no} ${error.message}`, 'red'))
  process.exitCode = 1
}
clearTimeout(watchdog)
for (const child of [server, client]) if (child.connected) child.disconnect()
if (unseen.length > 0) {
  print('', ...unseen.map(each => style(`${symbols.no} not seen: ${each}`, 'red')))
  process.exitCode = 1
}

async function demo() {
  const authority = await createAuthority()
  const [serverIdentity, clientIdentity] = await Promise.all([
    createIdentity({ authority, names: [rightName] }),
    createIdentity({ authority, names: [clientName] }),
  ])
  server.send({ answer, security: { ...serverIdentity, requestCert: true } })
  const { ports } = await reply(server)

  showTitle()
  const plain = await exchange('node:net', ports.plain, {})
  const security = clientIdentity
  const secured = await exchange('secure-socket/net', ports.secured, {
    peerTargetName: rightName,
    security,
  })
  showWire(plain, secured)
  showKnowledge(plain, secured)

  const refused = await refusal('secure-socket/net', ports.secured, {
    peerTargetName: wrongName,
    security,
  })
  showRefusal(refused, secured)

  await datagramAct({ authority, security, terminal, expect })
}

// What happens.

/** A request and its answer, by way of a tap: what each end says of it, and what the tap has seen. */
async function exchange(face, port, options) {
  const tap = await tapConnection(port)
  const atServer = reply(server)
  client.send({ face, request, options: { host: '127.0.0.1', port: tap.port, ...options } })
  const atClient = await reply(client)
  if (atClient.error) throw new Error(`${face}: ${atClient.error.message}`)
  return { atClient, atServer: await atServer, tap: tap.port, ...(await tap.captured) }
}

/** The same where no answer is expected. If the server got the request all the same, it would have said so. */
async function refusal(face, port, options) {
  const tap = await tapConnection(port)
  const heard = []
  server.on('message', message => heard.push(message))
  client.send({ face, request, options: { host: '127.0.0.1', port: tap.port, ...options } })
  const { error } = await reply(client)
  return { error, heard, ...(await tap.captured) }
}

function expect(condition, what) {
  if (!condition) unseen.push(what)
  return condition
}

// How it is shown.

function showTitle() {
  const { version } = createRequire(import.meta.url)('secure-socket/package.json')
  const line = style(symbols.line.repeat(5), 'dim')
  print(
    '',
    spread(
      style(`secure-socket ${version}`, 'bold'),
      style(`Node ${process.versions.node}`, 'dim'),
      width,
    ),
    '',
    spread(
      `client ${line} tap ${line} server`,
      style(`processes ${client.pid}, ${process.pid}, ${server.pid}`, 'dim'),
      width,
    ),
    ...wrap(
      'One exchange, the same code, two imports, and what the tap between them sees:',
      width,
    ).map(line => style(line, 'dim')),
    '',
  )
}

function showWire(plain, secured) {
  expect(
    plain.atClient.answer === answer && plain.atServer.request === request,
    'the plain exchange',
  )
  expect(
    secured.atClient.answer === answer && secured.atServer.request === request,
    'the secured exchange',
  )
  const found = [verdicts(plain, true), verdicts(secured, false)]
  panels(
    {
      title: "from 'node:net'",
      colour: 'red',
      lines: [
        ...plainView(`client ${symbols.to} server`, plain.sent, request),
        '',
        ...plainView(`server ${symbols.to} client`, plain.received, answer),
        '',
        ...found[0],
      ],
    },
    {
      title: "from 'secure-socket/net'",
      colour: 'green',
      lines: [
        ...securedView(`client ${symbols.to} server`, secured.sent, request),
        '',
        ...securedView(`server ${symbols.to} client`, secured.received, answer),
        '',
        ...found[1],
      ],
    },
  )
}

function plainView(direction, captured, message) {
  const marked = secrets.map(secret => [captured.indexOf(secret), secret.length])
  const paint = (text, index) =>
    marked.some(([start, length]) => start >= 0 && index >= start && index < start + length)
      ? style(text, 'danger')
      : text
  return [
    heading(direction, `all ${captured.length} bytes`),
    ...hexDump(captured, innerWidth, paint).slice(0, rows(message)),
    '',
  ]
}

function securedView(direction, captured, message) {
  const records = tlsRecords(captured)
  const index = recordOf(message, records)
  expect(index >= 0, `a record with the ${Buffer.byteLength(message)} bytes of the message`)
  const { bytes } = records.at(index)
  const shown = rows(message) * rowLength(innerWidth)
  return [
    heading(direction, `${bytes.length} of ${number(captured.length)} bytes`),
    ...hexDump(bytes.subarray(0, shown), innerWidth, text => style(text, 'green')),
    style(fit(`${records.length} TLS records, this is number ${index + 1}`, innerWidth), 'dim'),
  ]
}

function heading(direction, size) {
  return spread(style(direction, 'bold'), style(size, 'dim'), innerWidth)
}

/** Searches what the tap has for every secret, and says what it found. */
function verdicts({ sent, received }, readable) {
  const captured = Buffer.concat([sent, received])
  const findings = secrets.map(secret => {
    const found = captured.includes(secret)
    expect(found === readable, `"${secret}" ${readable ? 'in clear' : 'nowhere'} on the wire`)
    return found
      ? style(`${symbols.no} "${secret}" can be read`, 'red')
      : style(`${symbols.yes} "${secret}" is not there`, 'green')
  })
  return [style(`searched ${number(captured.length)} bytes, both ways:`, 'dim'), ...findings]
}

function showKnowledge(plain, secured) {
  const { knows: ofServer } = secured.atClient
  const { knows: ofClient } = secured.atServer
  expect(
    ofServer.encrypted && ofServer.names.includes('vault.example.com'),
    "the server's identity",
  )
  expect(ofClient.encrypted && ofClient.names.includes(clientName), "the client's identity")
  print('', style('What each end knows of the other', 'bold'))
  const address = plain.atClient.knows.address
  expect(address === `127.0.0.1:${plain.tap}`, 'the client of node:net at the tap')
  const told = `node:net tells the client that it talks to ${address}. That is the tap.`
  print(...indented(told).map(line => style(line, 'dim')))
  panels(
    { title: 'the client, of the server', colour: 'cyan', lines: knowledge(ofServer) },
    { title: 'the server, of the client', colour: 'cyan', lines: knowledge(ofClient) },
  )
}

function knowledge({ names, version, cipher, pin, expires }) {
  const facts = { name: names.join(', '), key: pin, version, cipher, until: expires }
  return Object.entries(facts).map(
    ([label, value]) => style(label.padEnd(9), 'dim') + fit(value ?? 'unknown', innerWidth - 9),
  )
}

function showRefusal({ error, heard, sent, received }, secured) {
  const records = tlsRecords(sent)
  const handshake = tlsRecords(secured.sent).slice(0, recordOf(request, tlsRecords(secured.sent)))
  expect(error?.code === 'ERR_PEER_TARGET_NAME_MISMATCH', 'the refusal of a wrong name')
  // The handshake that succeeded had these records before the first one of data, in this order.
  const onlyHandshake =
    records.length <= handshake.length &&
    records.every(({ name }, index) => name === handshake[index].name)
  expect(onlyHandshake && recordOf(request, records) < 0, 'nothing but a handshake')
  expect(heard.length === 0, 'that the server has heard nothing')
  expect(
    secrets.every(secret => !Buffer.concat([sent, received]).includes(secret)),
    'that no secret left',
  )

  print('', style('A wrong name is refused', 'bold'))
  const call = `createConnection({ host, port, peerTargetName: '${wrongName}', ${symbols.more} })`
  print(...indented(call).map(line => line.replace(wrongName, style(wrongName, 'yellow'))))
  print(`  ${style(error?.code ?? 'no error', 'red', 'bold')}`)
  print(...indented(error?.message ?? ''))
  if (!onlyHandshake) return
  const told = `The client sent ${listRecords(records)} bytes, and hung up: a handshake, no data.`
  print(...indented(`${symbols.yes} ${told}`).map(line => line.replace(symbols.yes, green)), '')
}

function green(text) {
  return style(text, 'green')
}

function indented(text) {
  return wrap(text, width - 2).map(line => `  ${line}`)
}

/** How many rows of a hex dump a message takes. */
function rows(message) {
  return Math.ceil(Buffer.byteLength(message) / rowLength(innerWidth))
}

function number(value) {
  return value.toLocaleString('en')
}
