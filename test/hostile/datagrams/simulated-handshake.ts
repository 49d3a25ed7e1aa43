/** The kinds of DTLS handshakes, each between two endpoints in memory with a clock of their own. */
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import type { Random } from '../../model/random.js'
import { Network, type Station, type Weather } from '../../providers/dtls/network.js'
import { testIdentity } from '../../support/identities.js'

/** The name that the server must prove. */
export const SERVER_NAME = 'server.example'

export interface Kind {
  readonly name: string
  readonly client: DatagramSecuritySettings
  readonly server: DatagramSecuritySettings
  /** The two have met before, and go on with that session. */
  readonly resumed: boolean
}

/** Full or resumed, by certificates or a pre-shared key, with a certificate of the client or without. */
export async function handshakeKinds(): Promise<Kind[]> {
  const { cert, key, ca } = await testIdentity([SERVER_NAME])
  const own = await testIdentity(['client.example'])
  const psk = { identity: 'sensor', key: Buffer.alloc(32, 9) }
  const mutual = {
    client: { cert: own.cert, key: own.key, ca },
    server: { cert, key, ca },
  }
  const oneSided = { client: { ca }, server: { cert, key, requestCert: false } }
  return [
    { name: 'certificates of both', ...mutual, resumed: false },
    { name: 'certificates of both, resumed', ...mutual, resumed: true },
    { name: 'a certificate of the server', ...oneSided, resumed: false },
    { name: 'a certificate of the server, resumed', ...oneSided, resumed: true },
    // There is no resumed one: a session would outlive the key.
    {
      name: 'a pre-shared key',
      client: { psk },
      server: { psk: { sensor: psk.key } },
      resumed: false,
    },
  ]
}

export interface Meeting {
  readonly network: Network
  readonly client: Station
  readonly server: Station
}

let count = 0

/** The two ends; addresses of their own, so that nothing of another test is resumed. Nothing has been said yet. */
export function meeting(
  random: Random,
  kind: Kind,
  more: DatagramSecuritySettings = {},
  weather: Weather = {},
): Meeting {
  count += 1
  const network = new Network(random)
  const host = `${(count >> 8) & 255}.${count & 255}`
  const client = network.station(
    { ...kind.client, ...more },
    { address: `10.1.${host}`, acceptsStrangers: false },
  )
  const server = network.station({ ...kind.server, ...more }, { address: `10.2.${host}` })
  if (kind.resumed) {
    begin({ network, client, server })
    if (!network.until(() => bothSecured({ network, client, server })))
      throw new Error('they have not met')
    client.endpoint.closePeer(server.address, server.port)
    network.pass(1000)
    client.securedPeers.length = 0
    server.securedPeers.length = 0
    server.closedPeers.length = 0
    client.closedPeers.length = 0
    client.sentDatagrams = []
    server.sentDatagrams = []
  }
  network.weather = weather
  return { network, client, server }
}

/** The client handshakes, with nothing to say. What is wrong with it the client is told. */
export function begin({ client, server }: Meeting): void {
  client.endpoint.secure(server.address, server.port, SERVER_NAME).catch(() => {})
}

export function bothSecured({ client, server }: Meeting): boolean {
  return client.securedPeers.length > 0 && server.securedPeers.length > 0
}

/** What is wrong with a pair that should be secured: nothing where each hears the other once. */
export function faultOf(meeting: Meeting, kind: Kind): string | undefined {
  const { network, client, server } = meeting
  const { weather, passage } = network
  network.weather = {}
  network.passage = datagram => datagram
  client.send('question', server, SERVER_NAME)
  network.pass(100)
  // It answers whom it has heard: somebody who has said nothing would have to prove a name first.
  server.send('answer', client)
  network.pass(100)
  network.weather = weather
  network.passage = passage
  if (`${server.messages}` !== 'question') return `the server has heard "${server.messages}"`
  if (`${client.messages}` !== 'answer') return `the client has heard "${client.messages}"`
  const { resumed } = client.query(server) ?? {}
  if (resumed !== kind.resumed) return `resumed: ${resumed}`
  const errors = [...client.errors, ...server.errors]
  if (errors.length > 0) return `${errors}`
  if (client.closedPeers.length + server.closedPeers.length > 0) return 'one was told of an end'
  return undefined
}
