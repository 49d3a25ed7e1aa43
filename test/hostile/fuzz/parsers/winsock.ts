/** What Windows fills in, and what is written for it: addresses, answers, GUIDs. */
import { isIP } from 'node:net'
import { canonicalAddress } from '../../../../src/model/target-name.js'
import {
  readGuid,
  sizeofGuid,
  writeGuid,
} from '../../../../src/providers/winsock/structures/guid.js'
import {
  sizeofPeerTargetNameWith,
  writePeerTargetName,
} from '../../../../src/providers/winsock/structures/peer-target-name.js'
import {
  readQueryInfo,
  readTokens,
} from '../../../../src/providers/winsock/structures/query-info.js'
import { readSockaddr, sockaddr } from '../../../../src/providers/winsock/structures/sockaddr.js'
import { must, type Parser, resultOr, withCode } from '../parser.js'

const tooSmall = withCode('EMSGSIZE')
const refused = withCode('EINVAL')

export const winsock: Parser = {
  name: 'winsock',
  seeds: () => [
    sockaddr({ family: 4, address: '127.0.0.1', port: 80 }, 'bind'),
    sockaddr({ family: 6, address: 'fe80::1%3', port: 65535 }, 'bind'),
    sockaddr({ family: 6, address: '::ffff:1.2.3.4', port: 1 }, 'bind'),
    Buffer.concat([Buffer.from([2, 0, 0, 0, 3]), Buffer.alloc(59, 1)]),
    Buffer.alloc(24),
    ...['fe80::1%1', '1.2.3.4', '::1', '::ffff:1.2.3.4%5', '010.1.1.1'].map(each =>
      Buffer.from(each),
    ),
  ],
  words: [Buffer.from([2, 0]), Buffer.from([23, 0]), '%', '::', 'ffff:', '.', '0', '%4294967296'],
  check(input) {
    const address = resultOr(() => readSockaddr(input, 'test'), tooSmall)
    if (address !== undefined) {
      must(isIP(address.address) === address.family, 'it is an address to Node', address.address)
      const written = sockaddr(address, 'test')
      const again = readSockaddr(written, 'test')
      must(
        JSON.stringify(again) === JSON.stringify(address),
        'an address is read as it was written',
      )
      must(written.subarray(0, 4).equals(input.subarray(0, 4)), 'and written as it was read')
      const bytes = address.family === 4 ? [4, 8] : [8, 28]
      must(written.subarray(...bytes).equals(input.subarray(...bytes)), 'all of it')
    }
    answers(input)
    if (input.length >= sizeofGuid) {
      const into = Buffer.alloc(sizeofGuid)
      writeGuid(into, 0, readGuid(input, 0))
      must(into.equals(input.subarray(0, sizeofGuid)), 'a GUID is written as it was read')
    }
    asText(input.toString('utf8'))
  },
}

function answers(input: Buffer): void {
  const info = resultOr(() => readQueryInfo(input), tooSmall)
  const tokens = resultOr(() => readTokens(input), tooSmall)
  must((tokens === undefined) === input.length < 24, 'handles are told wherever they are')
  if (info === undefined || tokens === undefined) return
  must(info.userToken === tokens.userToken, 'the same handle')
  must(!info.encrypted || info.secured, 'what is encrypted is secured')
  must(info.secured || (info.flags & 3) === 0, 'secured by a flag only')
  must((info.ipsec2 === undefined) === (input.readUInt32LE(0) !== 2), 'what the protocol says')
}

/** An address that somebody has written: taken where Node takes it, and as the same. */
function asText(text: string): void {
  for (const family of [4, 6] as const) {
    const bytes = resultOr(() => sockaddr({ family, address: text, port: 7 }, 'test'), refused)
    if (bytes === undefined) continue
    must(isIP(text) !== 0, 'what is taken is an address to Node', JSON.stringify(text))
    const read = readSockaddr(bytes, 'test')
    const [bare = ''] = text.split('%')
    must(
      read !== undefined &&
        canonicalAddress(read.address.split('%')[0] ?? '') === canonicalAddress(bare),
      'it is the same address',
      read?.address,
    )
  }
  const peer = { family: 4, address: '127.0.0.1', port: 7 } as const
  const into = Buffer.alloc(sizeofPeerTargetNameWith(text) + 8, 0xaa)
  const size = writePeerTargetName(into, { protocol: 2, peer, name: text })
  must(
    into.subarray(size).every(each => each === 0xaa),
    'nothing behind the structure is written',
  )
  must(into.readUInt32LE(136) === text.length * 2, 'the length counts bytes')
  must(into.readUInt16LE(size - 2) === 0, 'and a NUL ends the name')
}
