/** All of them. */
import type { Parser } from '../parser.js'
import { commandLine } from './command-line.js'
import { handshakeDatagrams } from './handshake-datagrams.js'
import { ikeIdentities } from './ike-identities.js'
import { pem } from './pem.js'
import { policy } from './policy.js'
import { records } from './records.js'
import { securedDatagrams } from './secured-datagrams.js'
import { targetNames } from './target-names.js'
import { vici } from './vici.js'
import { winsock } from './winsock.js'

export const parsers: readonly Parser[] = [
  records,
  securedDatagrams,
  handshakeDatagrams,
  targetNames,
  policy,
  vici,
  winsock,
  ikeIdentities,
  pem,
  commandLine,
]
