/** The protocols of the table, and `openssl` as whoever is not the right peer. */
import type { Test } from 'tap'
import { files } from '../../interop/files.js'
import { isAll } from '../extent.js'
import type { Transport } from './reader.js'

export interface Protocol {
  readonly name: string
  readonly transport: Transport
  readonly flag: string
  /** Every record of data is seen to be one. */
  readonly showsTypes: boolean
}

export const protocols: readonly Protocol[] = [
  { name: 'streams, TLS 1.3', transport: 'tcp', flag: '-tls1_3', showsTypes: false },
  { name: 'streams, TLS 1.2', transport: 'tcp', flag: '-tls1_2', showsTypes: true },
  { name: 'datagrams, DTLS 1.2', transport: 'udp', flag: '-dtls1_2', showsTypes: true },
]

/** Of what is long: TLS 1.2 only by `npm run test:hostile`. */
export const triedProtocols = protocols.filter(({ flag }) => isAll || flag !== '-tls1_2')

/** The arguments by which openssl shows an identity. */
export function shower(t: Test): (identity: { cert: string; key: string }) => string[] {
  const save = files(t)
  return ({ cert, key }) => {
    const paths = save({ cert, key })
    return ['-cert', paths.cert, '-key', paths.key]
  }
}
