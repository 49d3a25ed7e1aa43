/**
 * One datagram of a handshake is not what was sent. It may fail, since nothing authenticates a clear
 * message before the end; but by an error that is documented, and who is taken for the peer is the peer.
 */
import type { DatagramSecuritySettings } from '../../../../src/model/settings.js'
import { seededBy } from '../../../model/random.js'
import { Network, type Station } from '../../../providers/dtls/network.js'
import { testIdentity } from '../../../support/identities.js'
import { must, type Parser } from '../parser.js'

/** Certificates of both, checked by name; by the pin of the server's key; a pre-shared key. */
let kinds: { settings: [DatagramSecuritySettings, DatagramSecuritySettings]; name?: string }[] = []
const codes =
  /^(E[A-Z]+|ERR_PEER_[A-Z_]+|ERR_TLS_[A-Z_]+|ERR_SSL_[A-Z\d_]+|CERT_[A-Z_]+|[A-Z_]*(CA|CERT|CRL|PURPOSE|SIGNATURE|ISSUER)[A-Z_\d]*)$/

export const handshakeDatagrams: Parser = {
  name: 'handshake-datagrams',
  pace: 40,
  // The same bytes are of no use for other keys.
  keeps: false,
  async seeds() {
    const { cert, key, ca, pin } = await testIdentity(['a.example'])
    const both = { cert, key, ca: ca as string, handshakeTimeout: 5000 }
    const psk = { psk: { identity: 'me', key: Buffer.alloc(16, 7) }, handshakeTimeout: 5000 }
    const accepted = {
      psk: { me: Buffer.alloc(16, 7) },
      requestCert: false,
      handshakeTimeout: 5000,
    }
    kinds = [
      { settings: [both, both], name: 'a.example' },
      { settings: [both, both], name: pin },
      { settings: [psk, accepted] },
    ]
    return Array.from({ length: 12 }, (_, at) =>
      Buffer.from([at % 3, at / 3, 40 + at * 17, 0, 0, 1]),
    )
  },
  /** Which kind, which datagram; then changes of it: where, to what it is added, and how much. */
  check(input) {
    if (input.length < 3) return
    const kind = kinds[(input[0] as number) % kinds.length]
    if (kind === undefined) return
    const network = new Network(seededBy(1))
    const client = network.station(kind.settings[0])
    const server = network.station(kind.settings[1])
    const other = network.station(kind.settings[0])
    for (const each of [client, other]) if (kind.name !== undefined) each.name(server, kind.name)
    isHeard(network, other, server, 'one who is there already')
    let count = -1
    network.passage = datagram => {
      count += 1
      return count === (input[1] as number) % 12 ? changed(datagram, input.subarray(2)) : datagram
    }
    const sending = client.send('message', server, 'a.example')
    const said = () => server.messages.length
    network.until(() => sending.calls > 0 && (sending.error !== null || said() > 1), 20_000)
    must(sending.calls === 1, 'the callback is called once', `${sending.calls}`)
    for (const each of [...client.errors, ...server.errors, sending.error ?? undefined]) {
      if (each === undefined) continue
      must(
        each.name === 'SocketSecurityError' && codes.test(each.code ?? ''),
        'its error is documented',
        `${each}`,
      )
    }
    network.passage = datagram => datagram
    isHeard(network, other, server, 'and goes on')
    const told = server.messages.filter((_, at) => server.sources[at]?.address === client.address)
    for (const message of told) must(message === 'message', 'what was sent is delivered')
    for (const { info } of client.securedPeers) {
      const { peer } = info
      must(
        kind.name === undefined || peer?.targetName === kind.name,
        'the peer is who was asked for',
      )
      must(kind.name !== undefined || peer !== undefined, 'the peer is somebody')
    }
    must(other.errors.length === 0, 'nobody else is told of it', `${other.errors[0]}`)
    for (const each of [client, server, other]) each.endpoint.close()
  },
}

function isHeard(network: Network, from: Station, to: Station, text: string): void {
  const { length } = to.messages
  const sending = from.send(text, to, 'a.example')
  const isOver = () => sending.calls > 0 && to.messages.length > length
  must(network.until(isOver, 20_000), 'others are heard', `${sending.error}`)
  must(to.messages.at(-1) === text, 'others are heard as they spoke')
}

function changed(datagram: Buffer, how: Buffer): Buffer {
  let bytes = Buffer.from(datagram)
  for (let at = 0; at + 4 <= how.length; at += 4) {
    const place = how.readUInt16BE(at) % bytes.length
    if (how[at + 2] === 255) bytes = bytes.subarray(0, Math.max(1, place))
    else bytes[place] = (bytes[place] as number) ^ ((how[at + 3] as number) || 1)
  }
  return bytes
}
