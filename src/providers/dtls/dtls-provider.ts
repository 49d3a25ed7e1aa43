/** The dtls provider for datagrams: DTLS on the OpenSSL inside Node. */
import type { DatagramProvider } from '../datagram-provider.js'
import { DtlsEndpoint } from './endpoint.js'

export const dtlsProvider: DatagramProvider = {
  mode: 'channel',
  createEndpoint: (request, observer) => new DtlsEndpoint(request, observer),
}
