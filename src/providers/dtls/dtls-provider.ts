/** The dtls provider for datagrams: DTLS on the OpenSSL inside Node. */
import type { ChannelDatagramProvider } from '../datagram-provider.js'
import { DtlsEndpoint } from './endpoint.js'

export const dtlsProvider: ChannelDatagramProvider = {
  mode: 'channel',
  createEndpoint(request, observer) {
    return new DtlsEndpoint(request, observer)
  },
}
