/**
 * Datagrams for an association that is secured, whatever OpenSSL makes of them: none is delivered, none
 * ends it, and it hears its peer afterwards. Seeds are records of the right keys, so that a change of one
 * byte is a forgery; and records of all kinds around them.
 */
import { seededBy } from '../../../model/random.js'
import { clientHello, record } from '../../../providers/dtls/hellos.js'
import { Network, type Station } from '../../../providers/dtls/network.js'
import { testIdentity } from '../../../support/identities.js'
import { must, type Parser } from '../parser.js'

interface Ends {
  readonly network: Network
  readonly client: Station
  readonly server: Station
}

let ends: Ends | undefined
let settings: Awaited<ReturnType<typeof identity>>

async function identity() {
  const { cert, key, ca } = await testIdentity(['a.example'])
  return { cert, key, ca: ca as string }
}

export const securedDatagrams: Parser = {
  name: 'secured-datagrams',
  pace: 4,
  async seeds() {
    settings = await identity()
    ends = begin()
    const { client, server } = ends
    client.sentDatagrams = []
    client.send('genuine', server, 'a.example')
    server.sentDatagrams = []
    server.send('genuine too', client)
    ends.network.pass(10)
    const [one = Buffer.alloc(0)] = client.sentDatagrams
    const [other = Buffer.alloc(0)] = server.sentDatagrams
    const alert = record(21, 0, Buffer.from([2, 40]))
    // By numbers that have not been seen: others are dropped before anything else.
    const short = record(22, 1, Buffer.alloc(1), 2 ** 40)
    const odd = record(23, 1, Buffer.concat([short, Buffer.alloc(40)]), 2 ** 40 + 1)
    return [one, other, alert, odd, clientHello(), Buffer.concat([odd, one, alert])]
  },
  words: [
    ...[20, 21, 22, 23].map(type => Buffer.from([type, 0xfe, 0xfd, 0, 1])),
    record(21, 1, Buffer.alloc(1), 2 ** 41),
    record(23, 1, Buffer.alloc(24), 2 ** 42),
    Buffer.from([0xfe, 0xff]),
  ],
  check(input) {
    ends ??= begin()
    const { network, client, server } = ends
    const before = [client.messages.length, server.messages.length]
    for (const [to, from] of [
      [client, server],
      [server, client],
    ] as const) {
      to.endpoint.receive(Buffer.from(input), from.address, from.port)
      // As the system gives many at once: of one length each.
      const many = Buffer.concat([input, input, input])
      const segment = Math.max(1, input.length)
      if (input.length > 0) to.endpoint.receive(many, from.address, from.port, segment)
    }
    const after = [client.messages.length, server.messages.length]
    const failed = [client, server].flatMap(({ errors, closedPeers }) => [
      ...errors,
      ...closedPeers,
    ])
    const answers = client.sentDatagrams.length + server.sentDatagrams.length
    client.messages.length = server.messages.length = 0
    client.sentDatagrams = []
    server.sentDatagrams = []
    client.send('there', server, 'a.example')
    server.send('there', client)
    network.pass(5)
    const isWell =
      failed.length === 0 && client.messages[0] === 'there' && server.messages[0] === 'there'
    const handshakes = client.endpoint.stats.handshakes + server.endpoint.stats.handshakes
    // The next input is to find two ends that are well.
    if (!isWell || handshakes !== 2) ends = undefined
    must(after.join() === before.join(), 'nothing forged is delivered')
    must(failed.length === 0, 'nobody is told of an end', JSON.stringify(failed))
    must(isWell, 'each hears the other')
    must(handshakes === 2, 'by the same keys')
    must(answers <= 12, 'forgeries are hardly answered', `${answers}`)
  },
}

function begin(): Ends {
  const network = new Network(seededBy(1))
  const client = network.station(settings)
  const server = network.station(settings)
  client.send('first', server, 'a.example')
  if (!network.until(() => server.messages.length === 1, 60_000)) throw new Error('no handshake')
  server.messages.length = 0
  return { network, client, server }
}
